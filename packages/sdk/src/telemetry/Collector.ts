/** Where spans, metrics and logs may be sent. */

/** What an address of a collector is. */
export const collectorAddress =
  "the collector's http or https address, such as `http://127.0.0.1:4318`, without a user or a password: give a header"

/** True for an address that can be sent to: `fetch` refuses one that holds a password. */
export const isCollector = (given: unknown): boolean => {
  if (typeof given !== "string" || !URL.canParse(given)) return false
  const { password, protocol, username } = new URL(given)
  return /^https?:$/.test(protocol) && username === "" && password === ""
}
