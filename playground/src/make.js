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

/** A paragraph, a list or a table of Markdown. */
function block(text) {
  const lines = text.split("\n");
  if (lines[0].startsWith("|")) {
    const cells = (line) => line.slice(1, -1).split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
    const row = (line, i) => make("tr", {}, ...cells(line).map((cell) => make(i ? "td" : "th", {}, ...words(cell))));
    return make("table", {}, ...lines.filter((_, i) => i !== 1).map(row));
  }
  if (lines.every((line) => line.startsWith("- "))) {
    return make("ul", {}, ...lines.map((line) => make("li", {}, ...words(line.slice(2)))));
  }
  return make("p", {}, ...words(text));
}

/** Markdown of paragraphs, lists, tables and code: what the language server says. */
export function markdown(text) {
  return text.split(/```\w*\n([\s\S]*?)\n?```/).flatMap((part, i) => {
    if (i % 2) return [make("pre", {}, part)];
    return part.split(/\n{2,}/).filter((p) => p.trim()).map((p) => block(p.trim()));
  });
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
