// Links that hold a whole text: compressed, in the part of the address that no server sees.
const pipe = async (bytes, through) =>
  new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(through)).arrayBuffer());

/** A text as the fragment of a link. */
export async function packed(text) {
  const bytes = await pipe(new TextEncoder().encode(text), new CompressionStream("deflate-raw"));
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return `spec=${btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}`;
}

/** What a fragment says: `{text}` of a link, `{zoo}` with the name of a spec, or nothing. */
export async function unpacked(fragment) {
  const given = new URLSearchParams(fragment.replace(/^#/, ""));
  if (given.has("zoo")) return { zoo: given.get("zoo") };
  if (!given.has("spec")) return {};
  try {
    const binary = atob(given.get("spec").replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(binary, (c) => c.charCodeAt(0));
    return { text: new TextDecoder().decode(await pipe(bytes, new DecompressionStream("deflate-raw"))) };
  } catch {
    return { broken: true };
  }
}
