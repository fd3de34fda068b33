/**
 * Is it a key, or words? Secrets are drawn at random; identifiers, paths, prose and placeholders are not.
 */

const PLACEHOLDER =
  /(.)\1{5}|x{4}|\*{3}|\.{3}|example|placeholder|redacted|changeme|replace|dummy|sample|insert|your|12345678|abcdef/i
const PIECES = /[A-Za-z0-9]+/g
const WHOLE_WORD = /^(?:[A-Za-z]?[a-z]+|[A-Z]+|\d{1,4})$/
const WORDS = /[A-Z]?[a-z]{3,}|[A-Z]{4,}/g
const VOWEL = /[aeiouy]/i
/** Letters that do not follow each other in words. */
const HARSH =
  /[^aeiouy\W\d]{4}|q(?!u)|[jv][^aeiouy\W\d]|x[bdfgjklmnqrsvwxz]|z[bcdfghjkmnpqrstvwx]|[^aeiouy\W\d]x[^aeiouy\W\d]/i

/** Whether `value` says of itself that it is an example; in a long one chance may spell a word further back. */
export const isPlaceholder = (value: string): boolean =>
  PLACEHOLDER.test(value.length > 96 ? value.slice(0, 48) : value)

/** How much of the letters and digits of `value` reads as words, 0–1. */
export const wordiness = (value: string): number => {
  let all = 0
  let words = 0
  for (const piece of value.match(PIECES) ?? []) {
    all += piece.length
    if (WHOLE_WORD.test(piece) && (piece.length < 4 || (VOWEL.test(piece) && !HARSH.test(piece)))) {
      words += piece.length
      continue
    }
    for (const word of piece.match(WORDS) ?? []) {
      if (word.length >= 4 && VOWEL.test(word) && !HARSH.test(word)) words += word.length
    }
  }
  return all === 0 ? 1 : words / all
}

/** Shannon entropy of the characters of `value`, bits a character. */
export const entropy = (value: string): number => {
  const counts = new Uint16Array(128)
  for (let i = 0; i < value.length; i++) {
    const at = value.charCodeAt(i) & 127
    counts[at] = (counts[at] ?? 0) + 1
  }
  let bits = 0
  for (const count of counts) if (count > 0) bits -= (count / value.length) * Math.log2(count / value.length)
  return bits
}

/** How many of lower case, upper case and digits occur. */
export const classes = (value: string): number =>
  Number(/[a-z]/.test(value)) + Number(/[A-Z]/.test(value)) + Number(/[0-9]/.test(value))

const isSequence = (value: string): boolean => {
  let steps = 0
  for (let i = 1; i < value.length; i++) steps += Number(value.charCodeAt(i) - value.charCodeAt(i - 1) === 1)
  return steps * 2 > value.length
}

/** Whether the body behind a known prefix can be a key: no placeholder, no words, no sequence, some variety. */
export const isKeyBody = (value: string): boolean =>
  classes(value) > 1 &&
  entropy(value) > 2.6 &&
  !isPlaceholder(value) &&
  !isSequence(value) &&
  wordiness(value) < 0.75
