/** How the page looks: light and dark, narrow and wide, on screen and on A4. Contrast is WCAG AA in both. */

const NODES = Array.from({ length: 16 }, (_, i) => (i * 137 + 210) % 360);

/** Paul Tol's muted scheme, in an order that keeps neighbours apart. */
const CAUSES_LIGHT = [
  "#9a9a9a", "#cfe3f5", "#8cc1e8", "#4393c3", "#2b6cb0", "#c0392b", "#e2a33b", "#6aa84f", "#8e6bbd", "#d6569b", "#cfcfcf",
]; // prettier-ignore
const CAUSES_DARK = [
  "#7d7d7d", "#2d4a66", "#3f78a8", "#5aa9e0", "#8fd0ff", "#ff6b5a", "#e9b44c", "#86c66a", "#b295e0", "#f07fbb", "#4d4d4d",
]; // prettier-ignore

const colours = (list: readonly string[]): string => list.map((colour, i) => `--c${i}:${colour};`).join("");

const LIGHT = `--page:#ffffff;--ink:#1b1f24;--dim:#57606a;--line:#d0d7de;--stripe:#f6f8fa;--link:#0b57d0;--gain:#0b57d0;--interval:#9ec5fe;--layout:#e3e8ee;--bound:#8250df;--reported:#b35900;--far:#c0392b;--node-light:90%;--node-ink:#1b1f24;${colours(CAUSES_LIGHT)}`;
const DARK = `--page:#0f1318;--ink:#e6edf3;--dim:#9aa7b4;--line:#343c45;--stripe:#171d24;--link:#79b8ff;--gain:#79b8ff;--interval:#274c77;--layout:#252c34;--bound:#c39bff;--reported:#ffb366;--far:#ff6b5a;--node-light:26%;--node-ink:#f3f6f9;${colours(CAUSES_DARK)}`;

/** At an edge behind which there is more: covered by the page's own colour where the last of it has come into view. */
const edge = (side: "left" | "right", to: "right" | "left"): string =>
  `linear-gradient(to ${to},var(--page) 50%,transparent) ${side}/2.4em 100% no-repeat local`;
const shade = (side: "left" | "right", to: "right" | "left"): string =>
  `linear-gradient(to ${to},var(--line),transparent) ${side}/1em 100% no-repeat scroll`;

/** The style sheet. */
export const STYLE = `
:root{color-scheme:light;${LIGHT}}
@media screen and (prefers-color-scheme:dark){:root:not([data-theme=light]){color-scheme:dark;${DARK}}}
:root[data-theme=dark]{color-scheme:dark;${DARK}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main,header,footer{max-width:1180px;margin:0 auto;padding:0 16px}
header{padding-top:20px}
h1{font-size:1.6rem;margin:.2em 0}h2{font-size:1.25rem;margin:2em 0 .4em;border-bottom:1px solid var(--line);padding-bottom:.2em}h3{font-size:1.05rem;margin:1.2em 0 .3em}h4{margin:.8em 0 .2em}
a{color:var(--link)}nav a{margin-right:1em;white-space:nowrap}
p{max-width:75ch}.verdict{font-size:1.08rem}.dim,caption{color:var(--dim)}
svg{display:block;width:100%;height:auto;font:12px system-ui,sans-serif}svg text{fill:var(--ink)}svg .dim,svg .tick{fill:var(--dim)}
.legend{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.3em 1.4em}.legend svg{display:inline-block;width:auto;vertical-align:-2px}
.grid,.link{stroke:var(--line)}.zero{stroke:var(--dim)}.stripe{fill:var(--stripe)}
.gain{fill:var(--gain)}.interval{fill:var(--interval)}.layout{fill:var(--layout);stroke:var(--dim);stroke-dasharray:2 2}.bound{stroke:var(--bound);stroke-width:2.5}.price{fill:var(--bound);opacity:.55}.reported{fill:var(--reported)}.far{stroke:var(--far)}
${CAUSES_LIGHT.map((_, i) => `.c${i}{fill:var(--c${i})}`).join("")}.cause{stroke:var(--page);stroke-width:.4}svg .in{fill:#000;paint-order:stroke;stroke:rgb(255 255 255/.75);stroke-width:3px}
.node{stroke:var(--dim);stroke-width:1}.node ~ text{fill:var(--node-ink)}svg .name{font-weight:600;font-size:13px}svg .onlink{font-weight:600;paint-order:stroke;stroke:var(--page);stroke-width:4px}
${NODES.map((hue, i) => `.n${i}{fill:hsl(${hue} 60% var(--node-light));background:hsl(${hue} 60% var(--node-light))}`).join("")}
.chip{color:var(--node-ink);border:1px solid var(--dim);border-radius:9px;padding:0 .5em;font-size:.85em;white-space:nowrap}
.wide{overflow-x:auto;margin:.6em 0;container-type:inline-size}caption>span{display:block;width:max-content;max-width:100cqw;position:sticky;left:0}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.92rem}caption{text-align:left;padding-bottom:.3em}
th,td{padding:.2em .7em;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}th[scope=row],thead th:first-child{text-align:left}thead th{vertical-align:bottom}
td.left,th.left{text-align:left}td.left{min-width:20em}th[scope=row]{white-space:nowrap}.drawing{overflow-x:auto}.wide,.drawing{background:${edge("left", "right")},${edge("right", "left")},${shade("left", "right")},${shade("right", "left")}}.drawing svg{min-width:560px}.bar{width:140px;height:12px;display:inline-block}
.many{font-size:.8rem}.many th,.many td{padding:.2em .35em}.many td{white-space:nowrap}.many td.left{min-width:9em;white-space:normal}
.sortable thead button{font:inherit;color:inherit;background:none;border:0;padding:0;cursor:pointer;text-align:inherit;text-decoration:underline dotted}
summary{cursor:pointer;color:var(--link);margin:.5em 0}:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr));gap:1em 2em}figure{margin:0 0 1em}figcaption{margin-bottom:.5em}
.tree ul{list-style:none;margin:0;padding-left:1.1em;border-left:1px solid var(--line)}.tree li{padding:.1em 0}.tree code{font-size:.85em}
footer{margin:3em auto 2em;color:var(--dim);font-size:.9rem}
#theme{float:right;font:inherit;color:var(--ink);background:var(--stripe);border:1px solid var(--line);border-radius:6px;padding:.2em .7em;cursor:pointer}
@media print{@page{size:A4;margin:14mm}details::details-content{content-visibility:visible;height:auto}:root,:root[data-theme=dark]{color-scheme:light;${LIGHT}}body{font-size:10pt}#theme,nav{display:none}h2{break-after:avoid}svg,tr,figure{break-inside:avoid}.wide{overflow:visible}.wide,.drawing{background:none}table{font-size:7.5pt}th,td{padding:.1em .35em}.many{font-size:6pt}.many th,.many td{padding:.1em .2em}td.left{min-width:0}th[scope=row]{white-space:normal}caption>span{max-width:none;width:auto}.drawing svg{min-width:0}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
`;

/**
 * What the page does beyond reading: the theme's button, tables sorted by a click on a head, folded parts open on
 * paper. It reads well without.
 */
export const SCRIPT = `
(()=>{const root=document.documentElement,button=document.getElementById("theme");
if(button){button.hidden=false;button.addEventListener("click",()=>{const dark=root.dataset.theme?root.dataset.theme==="dark":matchMedia("(prefers-color-scheme: dark)").matches;root.dataset.theme=dark?"light":"dark"})}
let folded=[];addEventListener("beforeprint",()=>{folded=[...document.querySelectorAll("details:not([open])")];for(const each of folded)each.open=true});
addEventListener("afterprint",()=>{for(const each of folded)each.open=false});
const key=(row,i)=>{const cell=row.children[i],data=cell&&cell.querySelector("data");return data?Number(data.value):cell?cell.textContent.trim():""};
for(const table of document.querySelectorAll("table.sortable"))table.querySelectorAll("thead th").forEach((head,i)=>{
const button=document.createElement("button");button.type="button";while(head.firstChild)button.append(head.firstChild);head.append(button);
button.addEventListener("click",()=>{const up=head.getAttribute("aria-sort")!=="ascending";for(const other of table.querySelectorAll("thead th"))other.removeAttribute("aria-sort");
head.setAttribute("aria-sort",up?"ascending":"descending");const body=table.tBodies[0];
[...body.rows].sort((a,b)=>{const x=key(a,i),y=key(b,i);const order=typeof x==="number"&&typeof y==="number"?x-y:String(x).localeCompare(String(y));return up?order:-order}).forEach(row=>body.append(row))})})})();
`;
