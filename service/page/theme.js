// @ts-check
/**
 * Light, dark, or as the system has it: the reader's choice, kept from visit to visit.
 *
 * A classic script, loaded before the first paint so that no page flashes in the wrong colours. It tells the charts by
 * a `themechange` event on the document.
 */
(() => {
  const CHOICES = ["auto", "light", "dark"];
  /** @type {Record<string, string>} */
  const WORDS = { auto: "as the system has them", light: "always light", dark: "always dark" };
  const root = document.documentElement;

  const kept = () => {
    try {
      return localStorage.getItem("charlstm.theme") ?? "auto";
    } catch {
      return "auto"; // storage is refused: the choice lasts as long as the page
    }
  };

  /** @param {string} choice */
  const apply = (choice) => {
    if (choice === "auto") root.removeAttribute("data-theme");
    else root.setAttribute("data-theme", choice);
  };

  let choice = CHOICES.includes(kept()) ? kept() : "auto";
  apply(choice);

  const announce = () => document.dispatchEvent(new Event("themechange"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", announce);

  addEventListener("beforeprint", () => apply("light")); // paper is light; the charts, which hear of it later, follow
  addEventListener("afterprint", () => apply(choice));

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    const show = () => {
      button.textContent = `Theme: ${choice}`;
      button.setAttribute("aria-label", `${button.textContent}, colours ${WORDS[choice]}`);
    };
    button.addEventListener("click", () => {
      choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
      try {
        localStorage.setItem("charlstm.theme", choice);
      } catch {
        // as above
      }
      apply(choice);
      show();
      announce();
    });
    show();
  });
})();
