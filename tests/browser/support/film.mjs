// A camera that sees a ticket.

import { mkdirSync, writeFileSync } from "node:fs";
import { chromium } from "playwright-core";

const executablePath = process.env.ADMIT_CHROMIUM ?? "/usr/bin/chromium";
const root = process.getuid?.() === 0 ? ["--no-sandbox"] : [];

/** A browser whose camera shows a film. */
export const withCamera = (film) => chromium.launch({
  executablePath,
  args: [...root, "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", `--use-file-for-fake-video-capture=${film}`],
});

/** A film (Motion JPEG) of a ticket's picture, made by the browser itself. */
export async function filmed(folder, picture) {
  mkdirSync(folder, { recursive: true });
  const browser = await chromium.launch({ executablePath, args: root });
  try {
    const page = await (await browser.newContext({ viewport: { width: 640, height: 480 } })).newPage();
    await page.setContent(`<body style="margin:0;background:#555"><img style="position:absolute;left:190px;top:100px;width:270px;transform:rotate(7deg);filter:brightness(.7)" src="data:image/png;base64,${picture.toString("base64")}">`);
    const frame = await page.screenshot({ type: "jpeg", quality: 80 });
    writeFileSync(`${folder}/film.mjpeg`, Buffer.concat(Array(10).fill(frame)));
  } finally {
    await browser.close();
  }
  return `${folder}/film.mjpeg`;
}
