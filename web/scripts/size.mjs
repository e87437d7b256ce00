// Puts a better compressed copy beside each file, and tells what the first load of each page costs: the document, and all that it loads before it
// shows anything. More than the limit is an error.
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { brotliCompressSync, gzipSync } from "node:zlib";

const LIMIT = 300_000;
const folder = new URL("../../src/whet/web/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL("manifest.json", folder), "utf8"));
rmSync(new URL("manifest.json", folder)); // nobody asks for it
for (const name of readdirSync(folder, { recursive: true }).filter((one) => /\.(js|css|svg)$/.test(one))) {
  const body = readFileSync(new URL(name, folder));
  writeFileSync(new URL(`${name}.br`, folder), brotliCompressSync(body));
}
const size = (path) => gzipSync(readFileSync(new URL(path, folder)), { level: 9 }).length;

function needed(name, found = new Set()) {
  const chunk = manifest[name];
  found.add(chunk.file);
  for (const css of chunk.css ?? []) found.add(css);
  for (const other of chunk.imports ?? []) if (!found.has(manifest[other].file)) needed(other, found);
  return found;
}

const always = ["index.html", "theme.js", "favicon.svg"];
let worst = 0;
for (const page of Object.keys(manifest).filter((name) => name.startsWith("src/pages/"))) {
  const files = new Set([...always, ...needed("index.html"), ...needed(page)]);
  const total = [...files].reduce((sum, file) => sum + size(file), 0);
  worst = Math.max(worst, total);
  console.log(`${String(total).padStart(8)} bytes gzip in ${files.size} files: ${page.replace(/src\/pages\/|\.tsx/g, "")}`);
}
console.log(`${String(worst).padStart(8)} at most, of ${LIMIT} allowed`);
if (worst > LIMIT) process.exit(1);
