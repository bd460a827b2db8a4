// Judges cases: JSON lines in, for each a line `reason counts` out.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { judge } = createRequire(import.meta.url)("../../web/assets/gate_rules.js");
const out = [];
for await (const line of createInterface({ input: process.stdin })) {
  if (!line.trim()) continue;
  const { reason, counts } = judge(JSON.parse(line));
  out.push(`${reason} ${counts}\n`);
}
process.stdout.write(out.join(""));
