// The gate's page, driven: a phone that is a device, with somebody on shift.

import { Visitor } from "./browser.mjs";
import { demo, enrolment } from "./system.mjs";

export const section = (page, id) => page.locator(`#${id}`);
export const verdict = (page) => page.locator("#result").getAttribute("data-verdict");

export async function signIn(page) {
  await section(page, "sign").waitFor();
  await page.locator("#username").fill(demo.accounts.super_admin.username);
  await page.locator("#password").fill(demo.accounts.super_admin.password);
  await page.locator("#sign-form button").click();
  await section(page, "scan").waitFor();
}

/** Until the phone knows what it needs without a network, and has handed in what it had. */
export const known = (page) => page.waitForFunction(() => GateStore.meta.complete && GateStore.queue.length === 0);

/** Once more around, after what was just sold or changed. */
export async function synced(page) {
  await page.evaluate(() => GateSync.settled().then(GateSync.soon));
  await known(page);
}

export const waiting = (page) => page.evaluate(() => GateStore.queue.length);

export async function typed(page, code) {
  await page.locator("#code").fill(code);
  await page.locator("#typed button").click();
  await page.locator("#result").waitFor();
}

/** The answer to a call arrives nowhere, though the call does. The page may have given up waiting before. */
export const deaf = (page, path) => page.route(`**/api/entrance/${path}`, async (route) => {
  await route.fetch().catch(() => {});
  await route.abort().catch(() => {});
});

/** Another phone: enrolled at a gate, somebody on shift, the list of tickets at hand. */
export async function phone(code, gate, options = {}) {
  const visitor = await Visitor.start({ locale: "en", ...options });
  const { id, path } = await enrolment(code, gate);
  await visitor.page.goto(path);
  await signIn(visitor.page);
  await known(visitor.page);
  return { ...visitor, id, page: visitor.page, context: visitor.context };
}
