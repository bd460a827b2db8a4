import { DESKTOP } from "./support/browser.mjs";
import { tour } from "./support/tour.mjs";

tour("en", DESKTOP);
