/** What is wrong with a body that is no JSON, where that can be said: some clients write NaN and Infinity. */

// A quote that nothing closes takes the rest: every character is looked at once.
const tokens = /"(?:[^"\\]|\\[\s\S])*(?:"|\\?$)|-?\b(?:NaN|Infinity)\b/g

/** The longest body, in characters, that is looked at. */
const maxLength = 100_000

/** The first number that JSON does not have, with the field that it is the value of; undefined: none. */
export const jsonFault = (text: string): string | undefined => {
  if (text.length > maxLength) return undefined
  let key: string | undefined
  for (const [token] of text.matchAll(tokens)) {
    if (token.startsWith('"')) {
      key = token.slice(1, -1).slice(0, 100)
      continue
    }
    const where = key === undefined ? "" : ` in \`${key}\``
    return `${token}${where} is not a number that JSON has; leave it out or send null`
  }
  return undefined
}
