"""The style of the pages about runs, in light and dark."""

STYLE = """
:root { color-scheme: light dark; --ink: #1f2937; --soft: #6b7280; --rule: #e5e7eb; --page: #fff }
@media (prefers-color-scheme: dark) { :root { --ink: #e5e7eb; --soft: #9ca3af; --rule: #374151; --page: #111827 } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 980px; padding: 0 1rem; color: var(--ink);
  background: var(--page) }
h1 { margin: 0 } h2 { margin: 2rem 0 .5rem; font-size: 1.1rem } .soft, summary { color: var(--soft) }
.big { font-size: 2.6rem; font-weight: 650; margin: .5rem 0 0 } .big .soft { font-size: 1rem; font-weight: 500 }
.facts { display: flex; flex-wrap: wrap; gap: .4rem 2rem; margin: 1rem 0 }
.facts div { min-width: 7rem } .facts b { display: block; font-weight: 600 }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 400px), 1fr)); gap: 1rem }
svg { width: 100% } svg text { font: 11px system-ui, sans-serif; fill: var(--soft) }
svg .title { font-weight: 600; font-size: 13px; fill: var(--ink) } svg .middle { text-anchor: middle }
svg .right, svg [class^=name] { text-anchor: end } svg line { stroke: var(--rule) }
svg polyline { fill: none; stroke-width: 1.8 }
svg circle { fill: var(--page); stroke-width: 2 } svg .faint { opacity: .25; stroke-width: 1 }
.line0 { stroke: #2563eb } .line1 { stroke: #dc2626 } .line2 { stroke: #059669 } .line3 { stroke: #9333ea }
svg .name0 { fill: #2563eb } svg .name1 { fill: #dc2626 } svg .name2 { fill: #059669 } svg .name3 { fill: #9333ea }
table { border-collapse: collapse; font-size: 13px } td, th { padding: 3px 8px; text-align: right; font-weight: 500 }
.matrix td { min-width: 1.6rem; border: 1px solid var(--rule) } .matrix .share { border: 0; color: var(--soft) }
.scroll { overflow: auto } .images { display: flex; flex-wrap: wrap; gap: 14px } figure { margin: 0; width: 110px }
figure img { max-width: 110px; border: 1px solid var(--rule); border-radius: 4px; image-rendering: pixelated }
figure.pair { width: 210px } figure.pair img { max-width: 100px; margin-right: 4px }
figure.three { width: 340px } figure.three img { margin-right: 3px }
.net img { max-width: 100%; max-height: 720px }
svg .equal { stroke: var(--soft); stroke-dasharray: 4 3; stroke-width: 1 }
svg .dot { fill: #2563eb; fill-opacity: .45; stroke: none }
.legend th:first-child { text-align: left } .legend i { display: inline-block; width: 12px; height: 12px;
  border-radius: 3px; margin-right: 8px; border: 1px solid var(--rule); vertical-align: -1px }
figcaption { font-size: 12px; line-height: 1.3 } pre { overflow: auto; font-size: 12px }
"""


def in_notebook(html: str) -> str:
    """Part of a page for the output of a notebook's cell, which has a style of its own."""
    return f"<style>.netdsl-run {{ {STYLE} }}</style><div class=netdsl-run>{html}</div>"
