// Elements of the page.

/** An element with attributes and what is inside it: other elements, or text. */
export function make(tag, attributes = {}, ...inside) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") node.style.cssText = value;
    else if (name === "class") node.className = value;
    else if (value !== false && value !== undefined) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...inside.filter((part) => part !== null && part !== undefined));
  return node;
}

/** Words in which `code` stands between backticks. */
export function words(text) {
  return text.split(/`([^`]+)`/).map((part, i) => (i % 2 ? make("code", {}, part) : part));
}

/** What the button of a fix says: the text that it writes, or the words of its hint. */
export function label({ message, changes }) {
  const [{ text }] = changes;
  if (changes.length > 1 || text.length > 40 || text.includes("\n")) return message;
  return text.trim() ? `write \`${text.trim()}\`` : "leave it out";
}

/** Offer a text as a file. */
export function download(name, text, type = "text/plain") {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** A button that copies a text, and says so. */
export function copier(label, text) {
  const button = make("button", {}, label);
  button.onclick = async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = label), 1200);
  };
  return button;
}
