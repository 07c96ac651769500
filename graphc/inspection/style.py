"""The style of the page: two themes, one column of sections, panes side by side where there is room."""

STYLE = """
:root{color-scheme:light;--bg:#f6f7f8;--panel:#fff;--ink:#16191d;--muted:#5a646f;--line:#dfe3e7;--soft:#eef1f4;
--accent:#0a58ca;--hit:#fff0b3;--hit-edge:#c98a00;--near:#f3f6fb;--add:#e4f6e8;--add-word:#a9e4b6;--del:#fdeaea;
--del-word:#f6b9b9;--state:#dbeafe;--state-edge:#5b8def;--given:#f1f3f5;--given-edge:#9aa5b1;--spike:#ffe4dc;
--spike-edge:#e06a45;--product:#e9e2fb;--product-edge:#8b6fd6;--map:#fff;--map-edge:#aab4bf;--new:#1a9c4b;
--forward:#0a58ca;--backward:#c2410c;--kw:#8a3ffc;--num:#0b7285;--str:#2b8a3e;--com:#6b7580;--fn:#1c5fb8;
--shadow:0 1px 2px rgba(16,24,40,.06),0 1px 3px rgba(16,24,40,.08);
--mono:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace;
--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif}
:root[data-theme=dark]{DARK}
@media (prefers-color-scheme:dark){:root:not([data-theme=light]){DARK}}
*{box-sizing:border-box}
html{scroll-padding-top:64px;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 var(--sans);padding-bottom:72px}
a{color:var(--accent)}
h1,h2,h3{line-height:1.2;margin:0;letter-spacing:-.01em}
h1{font-size:20px}h2{font-size:20px;margin-bottom:4px}h3{font-size:15px}
p{margin:.3em 0}
code,pre,.mono{font-family:var(--mono);font-size:12.5px}
.skip{position:absolute;left:-999px;top:8px;background:var(--panel);padding:8px 14px;z-index:30;border-radius:6px}
.skip:focus{left:12px}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:4px}
header{position:sticky;top:0;z-index:20;background:var(--panel);border-bottom:1px solid var(--line);display:flex;
gap:14px;
align-items:center;padding:8px 20px;min-height:56px}
header h1{white-space:nowrap;overflow:hidden;text-overflow:ellipsis;min-width:0;flex:0 1 auto}
header h1 small{font-weight:400;color:var(--muted);font-size:13px;margin-left:8px}
nav{display:flex;gap:2px;flex:1 1 auto;overflow-x:auto;scrollbar-width:none}
nav a{color:var(--muted);text-decoration:none;padding:6px 9px;border-radius:6px;white-space:nowrap;font-size:13.5px}
nav a:hover{background:var(--soft);color:var(--ink)}
button{font:inherit;color:inherit;background:var(--panel);border:1px solid var(--line);border-radius:6px;
padding:5px 11px;
cursor:pointer}
button:hover{border-color:var(--accent)}
.find{position:relative;flex:0 0 auto}
.find input{font:inherit;font-size:13.5px;width:210px;padding:6px 10px;border:1px solid var(--line);border-radius:6px;
background:var(--bg);color:inherit}
.find ul{position:absolute;right:0;top:calc(100% + 6px);width:min(560px,92vw);max-height:60vh;overflow:auto;margin:0;
padding:4px;list-style:none;background:var(--panel);border:1px solid var(--line);border-radius:8px;
box-shadow:0 12px 32px rgba(0,0,0,.18)}
.find li{padding:6px 10px;border-radius:5px;cursor:pointer;font-size:12.5px;font-family:var(--mono);display:flex;
gap:10px}
.find li[aria-selected=true]{background:var(--soft)}
.find li b{font:600 11px var(--sans);color:var(--muted);flex:0 0 92px}
.find li span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
main{max-width:1560px;margin:0 auto;padding:18px 20px}
section{background:var(--panel);border:1px solid var(--line);border-radius:10px;padding:18px 20px;margin-bottom:18px;
box-shadow:var(--shadow);min-width:0}
.lead{color:var(--muted);max-width:86ch;margin:0 0 14px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin-bottom:18px}
.tile{background:var(--panel);border:1px solid var(--line);border-radius:10px;padding:12px 14px;
box-shadow:var(--shadow)}
.tile b{display:block;font-size:21px;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.tile span{color:var(--muted);font-size:12.5px;display:block;line-height:1.35}
.key{color:var(--muted);font-size:13px;margin:0 0 14px}
.below{margin-top:22px}.below h3{margin-bottom:10px}
.scroll+.scroll{margin-top:18px}
.scroll{overflow:auto;max-width:100%}
.split{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:20px;align-items:start}
table{border-collapse:collapse;font-size:13px;width:100%}
th{font-weight:600;text-align:left;color:var(--muted);font-size:12px}
th,td{padding:5px 10px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
tbody tr:last-child td{border-bottom:0}
td.mono{overflow-wrap:anywhere;min-width:150px}
td.mono:first-child{white-space:nowrap;padding-right:16px;min-width:0}
.tabs{display:flex;gap:2px;flex-wrap:wrap;border-bottom:1px solid var(--line);margin-bottom:0}
.tabs button{border:0;border-bottom:2px solid transparent;border-radius:6px 6px 0 0;background:none;padding:6px 10px;
font-size:13px;color:var(--muted)}
.tabs button:hover{background:var(--soft)}
.tabs button[aria-selected=true]{color:var(--ink);border-bottom-color:var(--accent);font-weight:600}
[hidden]{display:none!important}
.bench{display:grid;grid-template-columns:minmax(0,.8fr) minmax(0,1.05fr) minmax(0,1.15fr);gap:14px}
.pane{border:1px solid var(--line);border-radius:8px;min-width:0;display:flex;flex-direction:column;overflow:hidden}
.pane>.cap{font-size:12px;font-weight:600;color:var(--muted);padding:7px 12px;background:var(--soft);
border-bottom:1px solid var(--line)}
.pane .tabs{background:var(--soft)}
.body{height:min(62vh,620px);overflow:auto;position:relative}
.wide .body{height:auto;max-height:min(80vh,760px);min-height:220px;padding:6px}
.code{font-family:var(--mono);font-size:12px;line-height:1.6;min-width:max-content;padding:6px 0}
.code>div{display:flex;padding:0 12px 0 0;border-left:3px solid transparent;white-space:pre}
.code>div>i{flex:0 0 44px;text-align:right;padding-right:12px;color:var(--muted);font-style:normal;user-select:none;
position:sticky;left:0;background:var(--panel);margin-right:4px}
.code h4{font:600 12px var(--sans);color:var(--muted);margin:10px 14px 4px}
[data-v],[data-l]{cursor:pointer}
.code>div[data-v]:hover,.code>div[data-l]:hover,.eq:hover{background:var(--near)}
.hit{background:var(--hit)!important}
.code>div.hit>i{background:var(--hit)}.code>div.near>i{background:var(--near)}
.code>div.hit,.eq.hit{border-left-color:var(--hit-edge)}
.near{background:var(--near)}
.k,.kt,.kc,.kn,.ow,.kr{color:var(--kw)}.mi,.mf,.mh,.m{color:var(--num)}
.s,.s1,.s2,.sd,.sa,.si{color:var(--str)}.c,.c1,.cm,.cp,.cpf,.ch{color:var(--com)}.nf,.nd,.fm{color:var(--fn)}
.eq{padding:7px 12px;border-left:3px solid transparent;border-bottom:1px solid var(--line);overflow-x:auto}
.eq math{font-size:16.5px;math-style:normal}
.eq small{display:flex;gap:10px;color:var(--muted);font-size:11.5px;font-family:var(--mono);
justify-content:space-between;
margin-top:4px}
.eq small span:last-child{white-space:nowrap}
.owner{font-size:12px;font-weight:600;color:var(--muted);padding:9px 12px 4px;background:var(--panel)}
.none{padding:16px;color:var(--muted)}
svg text{font:500 11.5px var(--mono);fill:var(--ink);text-anchor:middle}
svg text.sub{font-size:10px;font-weight:400;fill:var(--muted)}
svg text.name{font:600 13px var(--sans)}
svg .node.link text.name{font-size:12px}
svg{display:block}
svg.ir{margin:0 auto}
svg .edge{fill:none;stroke:var(--muted);stroke-opacity:.45;stroke-width:1.2}
svg .wire{stroke-opacity:.75;stroke-width:1.6}
svg .arrow{fill:var(--muted)}
svg .node rect{fill:var(--map);stroke:var(--map-edge);stroke-width:1.2}
svg .state rect{fill:var(--state);stroke:var(--state-edge)}
svg .given rect{fill:var(--given);stroke:var(--given-edge)}
svg .spike rect{fill:var(--spike);stroke:var(--spike-edge)}
svg .product rect{fill:var(--product);stroke:var(--product-edge)}
svg .output rect{fill:var(--state);stroke:var(--state-edge)}
svg .link rect{fill:var(--panel);stroke:none}
svg .new rect{stroke:var(--new);stroke-width:2.4}
svg .node.near{background:none}
svg .node.near rect{stroke:var(--hit-edge);stroke-dasharray:4 3}
svg .node.hit rect{fill:var(--hit);stroke:var(--hit-edge);stroke-width:2.4}
svg .node:focus-visible{outline:none}
svg .node:focus-visible rect{stroke:var(--accent);stroke-width:3}
svg text[text-anchor=start]{text-anchor:start}
.net-box{padding:8px;width:max-content;margin:0 auto}
.legend{display:flex;gap:14px;flex-wrap:wrap;font-size:12px;color:var(--muted);padding:8px 12px}
.legend i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:5px;vertical-align:-1px;
border:1.5px solid}
.line{display:flex;gap:6px;flex-wrap:wrap;padding:4px 0 12px}
.line button{flex:0 0 auto;text-align:left;padding:8px 12px;line-height:1.25;min-width:104px;position:relative}
.line button b{display:block;font-size:13px;white-space:nowrap}
.line button span{font-size:11.5px;color:var(--muted);font-variant-numeric:tabular-nums}
.line button.idle{opacity:.62;border-style:dashed}
.line button[aria-selected=true]{border-color:var(--accent);box-shadow:inset 0 0 0 1px var(--accent);opacity:1}
.plus{color:var(--new)}.minus{color:var(--backward)}
.stage{border:1px solid var(--line);border-radius:8px;overflow:hidden}
.stage>.about{padding:12px 14px}
.stage .tabs{padding:0 8px}
.notes{margin:6px 0 0;padding-left:18px;font-size:13px;color:var(--muted)}
.diff{font-family:var(--mono);font-size:12px;line-height:1.55}
.diff>div{display:grid;grid-template-columns:40px minmax(0,1fr) 40px minmax(0,1fr)}
.diff i{font-style:normal;color:var(--muted);text-align:right;padding:0 8px 0 0;user-select:none;opacity:.75}
.diff pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;padding:0 10px 0 4px;font-size:12px}
.diff .old{background:var(--del)}.diff .new{background:var(--add)}
.diff .void{background:repeating-linear-gradient(135deg,transparent 0 5px,var(--soft) 5px 6px)}
.diff ins{background:var(--add-word);text-decoration:none;border-radius:2px}
.diff del{background:var(--del-word);text-decoration:none;border-radius:2px}
.diff .skipped{display:block;text-align:center;color:var(--muted);background:var(--soft);font:12px/2 var(--sans)}
.diff .heads{position:sticky;top:0;background:var(--soft);font:600 12px/2.1 var(--sans);color:var(--muted);z-index:2}
.stage .body{height:auto;max-height:min(72vh,760px)}
.chart text{font:12px var(--sans);text-anchor:start;fill:var(--muted)}
.chart text.mid{text-anchor:middle}.chart text.end{text-anchor:end}
.chart text.mono{font:12px var(--mono);fill:var(--ink)}
.chart .grid{stroke:var(--line);fill:none}
.chart .roof{stroke:var(--ink);stroke-width:2;fill:none}
.chart .dot circle{fill:var(--forward)}.chart .dot.backward circle{fill:var(--backward)}
.chart .dot text{fill:#fff;font-weight:600;font-size:11px}
.chart .bar rect{fill:var(--given-edge);opacity:.75}.chart .bar.saved rect{fill:var(--forward);opacity:1}
.chip{display:inline-block;font-size:11.5px;padding:1px 8px;border-radius:9px;background:var(--soft);color:var(--muted)}
.chip.forward{color:var(--forward)}.chip.backward{color:var(--backward)}
.trail{position:fixed;left:0;right:0;bottom:0;z-index:25;background:var(--panel);border-top:1px solid var(--line);
padding:9px 20px;display:flex;gap:8px;align-items:center;box-shadow:0 -4px 18px rgba(0,0,0,.1);overflow-x:auto}
.trail b{font-family:var(--mono);font-size:13px;white-space:nowrap;margin-right:6px}
.trail button{white-space:nowrap;font-size:13px}
.trail .close{margin-left:auto}
kbd{font:11.5px var(--mono);border:1px solid var(--line);border-bottom-width:2px;border-radius:4px;padding:0 5px;
background:var(--soft)}
footer{max-width:1560px;margin:0 auto;padding:0 24px 24px;color:var(--muted);font-size:13px}
@media (max-width:1180px){.bench{grid-template-columns:minmax(0,1fr)}.bench .body{height:min(46vh,420px)}
.split{grid-template-columns:minmax(0,1fr)}nav{display:none}.find{margin-left:auto}}
@media (max-width:720px){main{padding:12px}section{padding:14px 12px}header{padding:8px 12px;flex-wrap:wrap;gap:8px}

header h1{flex:1 1 0}header h1 small{display:none}.find{flex:1 1 100%;order:3;margin:0}.find input{width:100%}
html{scroll-padding-top:116px}
.diff>div{grid-template-columns:34px minmax(0,1fr)}.diff .same>.right,.diff .void{display:none}
.diff .heads{display:none}.tiles{grid-template-columns:repeat(2,minmax(0,1fr))}}
@media (prefers-reduced-motion:no-preference){html{scroll-behavior:smooth}}
@media print{header,.trail{position:static}.body{height:auto!important;max-height:none!important}}
""".replace(
    "DARK",
    "color-scheme:dark;--bg:#0d1014;--panel:#15191f;--ink:#e7eaee;--muted:#98a3b0;--line:#2a313a;--soft:#1c222a;"
    "--accent:#6cb0ff;--hit:#4a3b08;--hit-edge:#e0a72b;--near:#1b2430;--add:#11301c;--add-word:#1f6b3a;--del:#391a1d;"
    "--del-word:#7a2c33;--state:#152a4a;--state-edge:#4f86e0;--given:#20262e;--given-edge:#64707d;--spike:#43231a;"
    "--spike-edge:#e07a58;--product:#2a2148;--product-edge:#8f78e0;--map:#171c23;--map-edge:#4d5865;--new:#3ecf76;"
    "--forward:#4d97f5;--backward:#f0803f;--kw:#c39bff;--num:#6bd0de;--str:#83d08c;--com:#8792a0;--fn:#7db7ff;"
    "--shadow:none",
)
"""CSS; both ways to the dark theme, the reader's system and the button, have the same colors."""
