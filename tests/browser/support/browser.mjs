// One Chromium per test file and one visitor per test. Every visitor is watched: an error in the console, an uncaught
// error, a refusal by the content security policy or a failed request ends the test.

import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import axe from "@axe-core/playwright";
import { demo } from "./system.mjs";

const AxeBuilder = axe.default ?? axe;
const pictures = process.env.ADMIT_PICTURES ?? new URL("../../../.run/browser", import.meta.url).pathname;

/** A phone that people have, and a desktop. */
export const PHONE = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
export const DESKTOP = { viewport: { width: 1280, height: 900 } };

let browser;
before(async () => {
  // As root, which containers often are, Chromium runs without its sandbox or not at all. It sees our own pages alone.
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  browser = await chromium.launch({ executablePath: process.env.ADMIT_CHROMIUM ?? "/usr/bin/chromium", args });
});
after(() => browser?.close());

/** A test with its own visitor: `visit("name", { locale: "en" }, async ({ page, ... }) => …)`. */
export function visit(name, options, body) {
  test(name, async () => {
    const visitor = await Visitor.start(options);
    try {
      await body(visitor);
      visitor.nothingWentWrong();
    } catch (error) {
      await visitor.page.screenshot({ path: `${pictures}/failed ${name.replaceAll("/", " ")}.png`, fullPage: true }).catch(() => {});
      const seen = [`on ${visitor.page.url()}`, ...visitor.wrong].map((line) => `\n    ${line}`).join("");
      // Where in the tests, without the way through the libraries.
      throw Object.assign(new Error(error.message + seen), { stack: `${error.message}${seen}\n${place(error)}` });
    } finally {
      await visitor.context.close();
    }
  });
}

const place = (error) => (error.stack ?? "").split("\n").filter((line) => line.includes("/tests/browser/")).slice(0, 4).join("\n");

export class Visitor {
  wrong = [];
  findings = [];
  /** Statuses that a call of the page's script is answered with on purpose. */
  refusals = new Set();

  static async start({ locale = "ko", device = PHONE, ...options } = {}) {
    const visitor = new Visitor();
    visitor.locale = locale;
    const accept = locale === "ko" ? "ko-KR" : "en-GB";
    visitor.context = await browser.newContext({ baseURL: demo.base_url, timezoneId: "Asia/Seoul", locale: accept, ...device, ...options });
    visitor.context.setDefaultTimeout(15_000);
    visitor.context.on("page", (page) => visitor.#watch(page));
    visitor.page = await visitor.context.newPage();
    return visitor;
  }

  #watch(page) {
    const note = (what) => this.wrong.push(`${what} (${new URL(page.url()).pathname})`);
    page.on("console", (message) => {
      const at = message.location().url;
      // A page that comes with 404 or 422 is a page all the same; what it loads must be there.
      const status = message.text().match(/Failed to load resource: .* status of (\d+)/)?.[1];
      if (status && (at === page.url() || this.refusals.has(Number(status)))) return;
      if (["error", "warning"].includes(message.type())) note(`console: ${message.text()} ${at}`);
    });
    page.on("pageerror", (error) => note(`uncaught: ${error.message}`));
    page.on("requestfailed", (request) => {
      // Leaving a page ends what it was loading.
      if (request.failure()?.errorText !== "net::ERR_ABORTED") note(`failed: ${request.url()} ${request.failure()?.errorText}`);
    });
  }

  nothingWentWrong() {
    assert.deepEqual(this.wrong, []);
  }

  /** A picture of the whole page, for people to look at. Where nobody will, what failed is enough. */
  async picture(name, page = this.page) {
    if (process.env.ADMIT_ONLY_FAILURES) return;
    await page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true, scale: "css" });
  }

  /**
   * Everything that must hold for any page: accessible in both colour schemes and with reduced motion, no sideways
   * scrolling on a narrow screen or enlarged twice. The page is left as it was found.
   */
  async inspect(name, page = this.page) {
    const found = [];
    const size = page.viewportSize();
    for (const [colorScheme, reducedMotion] of [["light", "no-preference"], ["dark", "reduce"]]) {
      await page.emulateMedia({ colorScheme, reducedMotion });
      // Our pages have no frames, which is what the legacy mode leaves out.
      const check = new AxeBuilder({ page }).setLegacyMode(true).options({ resultTypes: ["violations"] });
      // Nothing but colours differs between the two.
      if (colorScheme === "light") check.withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]);
      else check.withRules(["color-contrast", "link-in-text-block"]);
      for (const v of (await check.analyze()).violations) {
        const nodes = v.nodes.map((node) => `${node.target.join(" ")} ${node.failureSummary.replaceAll(/\s+/g, " ")}`);
        found.push(`${name}, ${this.locale}, ${colorScheme}: ${v.id}: ${v.help}\n      ${nodes.join("\n      ")}`);
      }
      await this.picture(`${name} ${this.locale} ${colorScheme}`, page);
    }
    for (const [what, width, height] of [["320 px wide", 320, 640], ["a desktop enlarged twice", 640, 450]]) {
      await page.setViewportSize({ width, height });
      const wide = await page.evaluate(sticksOut);
      if (wide) found.push(`${name}, ${this.locale}, ${what}: scrolls sideways: ${wide}`);
      if (width === 320 && this.locale === "ko") await this.picture(`${name} ${this.locale} narrow`, page);
    }
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme: "light", reducedMotion: "no-preference" });
    this.findings.push(...found);
  }

  /** All findings of the pages that were inspected, at once. */
  wellMade() {
    assert.ok(this.findings.length === 0, `\n    ${this.findings.join("\n    ")}`);
  }
}

/** Runs in the page: what makes it wider than the window. */
function sticksOut() {
  const room = document.documentElement.clientWidth;
  if (document.scrollingElement.scrollWidth <= room) return "";
  const out = [...document.querySelectorAll("main *, header *, footer *")].filter((e) => e.getBoundingClientRect().right > room + 0.5);
  return `${document.scrollingElement.scrollWidth} of ${room} px: ${out.slice(-3).map((e) => e.outerHTML.slice(0, 80)).join(" | ")}`;
}
