/** The models that the server has, and the one that is chosen. */

import { element } from "./element.js";
import { call, ServerError } from "./server.js";

export class Models {
  #select;
  #chose;
  #byId = new Map();

  /** `chose` is called with the entry of /v1/models whenever one is chosen. */
  constructor(select, chose) {
    this.#select = select;
    this.#chose = chose;
    select.addEventListener("change", () => chose(this.#byId.get(select.value)));
  }

  /** Ask the server for its models. Throws ServerError. */
  async load() {
    const { data } = await (await call("v1/models")).json();
    if (data.length === 0) throw new ServerError("the server has no models");
    this.#byId = new Map(data.map((model) => [model.id, model]));
    this.#select.replaceChildren(...data.map(({ id }) => element("option", { value: id }, id)));
    this.#select.disabled = false;
    this.#chose(data[0]);
  }

  /** The chosen one; asks the server first if it could not before. Throws ServerError. */
  async chosen() {
    if (this.#byId.size === 0) await this.load();
    return this.#byId.get(this.#select.value);
  }
}
