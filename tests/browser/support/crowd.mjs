// Visitors of a sale who need no browser: each has cookies of their own, waits in the real line as the page does, and pays at the
// simulated bank. What they do next is the test's to say.

import { bank, demo, phone, until } from "./system.mjs";

/** How often each of them asks where they stand. [ms] */
const POLL_MS = 500;

export class Buyer {
  #jar = new Map();
  #gone = false;
  state = null;
  order = null;

  constructor(code, product_id) {
    Object.assign(this, { code, product_id });
  }

  async #call(method, path, body, headers) {
    if (this.#gone) throw new Error("the test is over");
    const cookies = [...this.#jar].map(([name, value]) => `${name}=${value}`).join("; ");
    const reply = await fetch(`${demo.base_url}${path}`, {
      method, headers: { "Content-Type": "application/json", ...(cookies && { Cookie: cookies }), ...headers },
      body: body && JSON.stringify(body), signal: AbortSignal.timeout(15_000),
    });
    for (const line of reply.headers.getSetCookie()) {
      const [pair] = line.split(";"), at = pair.indexOf("=");
      if (/max-age=0(;|$)/i.test(line)) this.#jar.delete(pair.slice(0, at));
      else this.#jar.set(pair.slice(0, at), pair.slice(at + 1));
    }
    return { status: reply.status, said: await reply.json() };
  }

  async #expect(...call) {
    const { status, said } = await this.#call(...call);
    if (status >= 300) throw new Error(`${call[1]}: ${status} ${JSON.stringify(said)}`);
    return said;
  }

  #queue(method, verb) {
    return this.#call(method, `/api/exhibitions/${this.code}/queue/${verb}`);
  }

  /** A place in line, as soon as every instance knows that there is one. */
  join() {
    return until("a place in line", async () => (await this.#queue("POST", "join")).said.number !== undefined, 20, 200);
  }

  /** Waits, and goes in when it is their turn. */
  wait(seconds) {
    return until("let in", async () => {
      let { said } = await this.#queue("GET", "status");
      if (["your_turn", "late"].includes(said.state)) ({ said } = await this.#queue("POST", "claim"));
      this.state = said.state;
      return said.state === "admitted";
    }, seconds, POLL_MS);
  }

  async hold() {
    this.order = await this.#expect("POST", "/api/orders", {
      exhibition_code: this.code, customer_name: "줄 선 사람", customer_phone: phone(), items: [{ product_id: this.product_id, quantity: 1 }],
    });
  }

  async pay() {
    const { order_number, order_token, total_amount: amount } = this.order, auth = { Authorization: `Bearer ${order_token}` };
    const { order_id } = await this.#expect("POST", "/api/payments/initialize", { order_number, amount }, auth);
    const { paymentKey: payment_key } = await bank("authorise", { orderId: order_id, amount });
    await this.#expect("POST", "/api/payments/confirm", { payment_key, order_id, amount }, { ...auth, "Idempotency-Key": `pay-${order_id}` });
  }

  /** Asks nothing any more. */
  gone() {
    this.#gone = true;
  }
}

/** So many join; from then on each waits by itself. `all`: everybody was let in; `inside()`: who is and has no order yet. */
export async function lineUp(code, product_id, people, seconds) {
  const buyers = Array.from({ length: people }, () => new Buyer(code, product_id));
  await Promise.all(buyers.map((one) => one.join()));
  const all = Promise.all(buyers.map((one) => one.wait(seconds)));
  // Whoever waits for it later hears of a failure then.
  all.catch(() => {});
  const inside = () => buyers.filter((one) => one.state === "admitted" && !one.order);
  return { buyers, all, inside, gone: () => buyers.forEach((one) => one.gone()) };
}
