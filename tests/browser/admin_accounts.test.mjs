// Accounts of the control room: a forgotten password, and an account that strangers try.

import assert from "node:assert/strict";
import { DESKTOP, PHONE, visit } from "./support/browser.mjs";
import { account, fillSignIn, go, PASSWORD, settled, signIn, totp } from "./support/admin.mjs";
import { admin, demo, mailed, sql } from "./support/system.mjs";

const both = (name, options, body) => { for (const locale of ["ko", "en"]) visit(`control room: ${name}, ${locale}`, { locale, ...options }, body); };
const NEW = "another password for tests";

both("a forgotten password is set by mail", { device: PHONE }, async (visitor) => {
  const { page } = visitor;
  visitor.refusals.add(410).add(422).add(401);
  const me = await account();
  // With the password, one's own address.
  await signIn(page, "#/account", me);
  await settled(page);
  const mailbox = page.locator("section").filter({ has: page.locator("[name=email]") });
  await mailbox.locator("[name=email]").fill("not an address");
  await mailbox.locator("[name=password]").fill(PASSWORD);
  await mailbox.locator("[type=submit]").click();
  await mailbox.locator("[name=email][aria-invalid=true]").waitFor();
  await mailbox.locator("[name=email]").fill(`${me.username}@example.org`);
  await mailbox.locator("[name=password]").fill(PASSWORD);
  await mailbox.locator("[type=submit]").click();
  await page.getByText("t***@example.org").waitFor();
  await settled(page);
  await visitor.inspect("control room, account with an address");
  await page.locator("#out").click();

  await page.locator("a[href='#/forgot']").click();
  await visitor.inspect("control room, forgotten password");
  await page.locator("[name=username]").fill(me.username);
  await page.locator("main form [type=submit]").click();
  await page.locator(".notice").waitFor();
  await visitor.inspect("control room, link asked for");

  const [, path] = (await mailed(me.username)).match(/(\/admin#\/reset\/[\w-]{43})/);
  const token = path.split("/").pop();
  const asked = [];
  page.on("request", (request) => asked.push(`${request.isNavigationRequest() ? "" : request.url()} ${request.headers().referer ?? ""}`));
  await page.goto("about:blank");
  await page.goto(path);
  await page.locator("[name=password]").waitFor();
  // The token has left the address, and no request has carried it there or told where it came from.
  assert.equal(new URL(page.url()).hash, "#/reset");
  assert.equal(await page.evaluate((mark) => document.documentElement.outerHTML.includes(mark), token), false);
  await visitor.inspect("control room, new password");
  await page.locator("[name=password]").fill("short");
  await page.locator("main form [type=submit]").click();
  await page.locator("[name=password][aria-invalid=true]").waitFor();
  await page.locator("[name=password]").fill(NEW);
  await page.locator("main form [type=submit]").click();
  await page.locator("[name=username]").waitFor();
  assert.deepEqual(asked.filter((line) => line.includes(token)), []);
  await visitor.picture(`control room, password set ${visitor.locale}`);
  await page.goBack();
  assert.equal(page.url().includes(token), false, "nor is it in the history");
  await page.goto("/admin");
  await fillSignIn(page, { username: me.username, password: NEW });
  await page.locator("#self").waitFor();

  // Used, it opens nothing; without its token the page says what to do.
  await page.goto("about:blank");
  await page.goto(path);
  await page.locator("[name=password]").fill(NEW);
  await page.locator("main form [type=submit]").click();
  await page.getByRole("alert").waitFor();
  await visitor.inspect("control room, link over");
  await page.reload();
  await page.getByRole("alert").waitFor();
  visitor.wellMade();
});

both("an account that strangers try", { device: DESKTOP }, async (visitor) => {
  const { page } = visitor;
  const me = await account(), theirs = await account("admin", ["aaa"]);
  const guess = (n) => fetch(`${demo.base_url}/api/auth/login`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ username: theirs.username, password: `guess ${n}` }) });
  const statuses = [];
  for (let n = 0; n < 6; n += 1) statuses.push((await guess(n)).status);
  assert.deepEqual(statuses, [401, 401, 401, 401, 401, 429]);
  // As after thirty addresses, and codes after the right password.
  await sql(`update sign_in_tries set failed = 31, locked_until = now() + interval '10 minutes' where source = 'strangers' and user_id = (select id from admin_users where username = '${theirs.username}')`);
  await signIn(page, "#/people", me);
  await settled(page);
  await page.locator("#people-search").fill(theirs.username);
  await page.locator("main tbody .state.bad").waitFor();
  await visitor.picture(`control room, people under attack ${visitor.locale}`);
  await go(page, `#/people/${theirs.username}`);
  await page.locator(".notice.bad", { hasText: "31" }).waitFor();
  await visitor.inspect("control room, account under attack");
  await page.locator(".notice.bad button").click();
  await page.locator("dialog[open] [type=submit]").click();
  await page.locator(".notice.bad").waitFor({ state: "detached" });
  await settled(page);
  assert.equal((await admin("GET", "users")).users.find((one) => one.username === theirs.username).tries, null);

  await page.getByRole("button", { name: visitor.locale === "ko" ? "이메일 정하기" : "Set the e-mail address" }).click();
  await page.locator("dialog[open] [name=email]").fill("kim@example.org");
  await visitor.inspect("control room, somebody's address");
  await page.locator("dialog[open] [type=submit]").click();
  await page.getByText("k***@example.org").waitFor();
  visitor.wellMade();
});

both("whose rank needs a second factor sets it up", { device: PHONE }, async (visitor) => {
  const { page } = visitor;
  const me = await account();
  // The rule itself would hold for everybody in this system.
  await page.route("**/api/auth/login", async (route) => {
    const reply = await route.fetch();
    await route.fulfill({ response: reply, json: { ...(await reply.json()), second_factor_needed: true } });
  });
  await signIn(page, "#/people", me);
  await settled(page);
  await page.locator(".notice").first().waitFor();
  assert.equal(await page.locator("#people-search").count(), 0);
  await visitor.inspect("control room, second factor needed");
  const factor = page.locator("section").filter({ has: page.locator("h2", { hasText: visitor.locale === "ko" ? "2단계 인증" : "Second factor" }) });
  await factor.locator("[name=password]").fill(PASSWORD);
  await factor.locator("[type=submit]").click();
  await factor.locator("code").waitFor();
  await factor.locator("[name=code]").fill(totp(await factor.locator("code").innerText()));
  await factor.locator("[type=submit]").click();
  await page.locator("dialog[open] .recovery").waitFor();
  await page.locator("dialog[open] button").last().click();
  // With the codes put away, everything is open, and where one wanted to go.
  await page.locator("#people-search").waitFor();
  visitor.wellMade();
});
