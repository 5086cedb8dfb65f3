// @ts-check
/**
 * Reads a text as charlstm does, by the rules in text.json.
 *
 * Characters are Unicode code points, which is what a for loop over a string gives, not the UTF-16 units that its length
 * counts. JavaScript has no case folding (`toLowerCase` leaves "ß" and makes an "İ" into two), so the rules list what
 * folding makes of each character that it changes.
 *
 * @typedef {{level: "character" | "word", casefold: boolean, max_length: number | null}} Preprocessing
 * @typedef {{name: string, version: string, labels: string[], preprocessing: Preprocessing,
 *   folded: Record<string, string>, pad_to: number | null, vocabulary: string[]}} TextRules
 *
 * @typedef {object} ReadText What the model reads.
 * @property {string[]} tokens Characters or words, folded if the model folds.
 * @property {number[]} tokenIds The index of each in the vocabulary.
 * @property {number[]} offsets For each the code point of the text where it starts.
 * @property {number} characters How many code points of the text were read.
 * @property {number} unknown How many tokens the vocabulary does not know.
 * @property {boolean} truncated Whether the text was cut to the model's limit.
 */

const NOT_TEXT = /[\0\p{Surrogate}]/u; // with the flag u, half of a pair alone
// As Python's regular expressions have it; JavaScript's \w is ASCII, and its \s differs in six characters.
const IN_WORD = /[\p{L}\p{N}_]/u;
const SPACE = /[\p{Z}\t-\r\x1c-\x1f\x85]/u;

export class TextReader {
  /** @param {TextRules} rules */
  constructor(rules) {
    this.rules = rules;
    this.folded = new Map(Object.entries(rules.folded));
    this.ids = new Map(rules.vocabulary.map((token, id) => [token, id]));
    this.unknownId = rules.vocabulary.length - 1;
  }

  /**
   * A text over the model's limit is cut.
   * @param {string} text
   * @returns {ReadText}
   * @throws {RangeError} It holds nothing to read, or what is no text: a NUL or half of a surrogate pair.
   */
  read(text) {
    if (NOT_TEXT.test(text)) throw new RangeError("the text must be valid Unicode without a NUL");
    const characters = Array.from(text);
    const { level, max_length: limit } = this.rules.preprocessing;
    const found = level === "word" ? this.words(characters) : this.characters(characters);
    if (found.length === 0) throw new RangeError(`the text must hold at least 1 ${level}`);
    const truncated = limit !== null && found.length > limit;
    const read = truncated ? found.slice(0, limit) : found;
    const tokenIds = read.map(({ token }) => this.ids.get(token) ?? this.unknownId);
    return {
      tokens: read.map(({ token }) => token),
      tokenIds,
      offsets: read.map(({ offset }) => offset),
      characters: truncated ? Math.max(found[read.length].offset, found[read.length - 1].offset + 1) : characters.length,
      unknown: tokenIds.filter((id) => id === this.unknownId).length,
      truncated,
    };
  }

  /** @param {string} character */
  fold(character) {
    return this.folded.get(character) ?? character;
  }

  /** One character may be folded into several; each of these starts where it stood. @param {string[]} characters */
  characters(characters) {
    return characters.flatMap((character, offset) => Array.from(this.fold(character), (token) => ({ token, offset })));
  }

  /** A word is a run of letters, digits and underscores, or one other visible character. @param {string[]} characters */
  words(characters) {
    /** @type {{token: string, offset: number}[]} */
    const words = [];
    let inWord = false;
    characters.forEach((character, offset) => {
      const goesOn = IN_WORD.test(character);
      if (goesOn && inWord) words[words.length - 1].token += this.fold(character);
      else if (goesOn || !SPACE.test(character)) words.push({ token: this.fold(character), offset });
      inWord = goesOn;
    });
    return words;
  }
}
