import { PHONE } from "./support/browser.mjs";
import { tour } from "./support/tour.mjs";

tour("ko", PHONE);
