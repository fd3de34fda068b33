/**
 * Text to byte strings and back, and numbers as C prints them.
 */

// biome-ignore lint/suspicious/noControlCharactersInRegex: the range of ASCII is what is asked
const ascii = /^[\x00-\x7f]*$/

/** Text as the bytes of its UTF-8, one character a byte. */
export const toBytes = (text: string): string =>
  ascii.test(text) ? text : Buffer.from(text, "utf8").toString("latin1")

/** The text of a byte string; what is not UTF-8 becomes U+FFFD. */
export const fromBytes = (bytes: string): string =>
  ascii.test(bytes) ? bytes : Buffer.from(bytes, "latin1").toString("utf8")

const trimZeros = (digits: string) => (digits.includes(".") ? digits.replace(/\.?0*$/, "") : digits)

/** The first `precision` digits and the power of ten; C rounds a tie to the even digit, JavaScript up. */
const significant = (value: number, precision: number) => {
  const split = (text: string) => {
    const [digits = "0", power = "0"] = text.split("e")
    return { digits: digits.replace(".", ""), power: Number(power) }
  }
  const exact = split(value.toExponential(precision + 40))
  const isTie = /^50*$/.test(exact.digits.slice(precision))
  if (!isTie || Number(exact.digits[precision - 1]) % 2 === 1)
    return split(value.toExponential(precision - 1))
  return { digits: exact.digits.slice(0, precision), power: exact.power }
}

/** `printf("%.<precision>g", value)`. */
export const formatG = (value: number, precision: number): string => {
  if (Number.isNaN(value)) return "nan"
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf"
  if (value === 0) return Object.is(value, -0) ? "-0" : "0"
  if (Number.isSafeInteger(value) && Math.abs(value) < 10 ** Math.min(precision, 15)) return String(value)
  if (value < 0) return `-${formatG(-value, precision)}`
  const { digits, power } = significant(value, precision)
  if (power < -4 || power >= precision) {
    const exponent = String(Math.abs(power)).padStart(2, "0")
    return `${trimZeros(`${digits.charAt(0)}.${digits.slice(1)}`)}e${power < 0 ? "-" : "+"}${exponent}`
  }
  if (power < 0) return trimZeros(`0.${"0".repeat(-power - 1)}${digits}`)
  return trimZeros(`${digits.slice(0, power + 1)}.${digits.slice(power + 1)}`)
}

/** `printf("%.<precision>e", value)` of a finite number. */
export const formatE = (value: number, precision: number): string => {
  const { digits, power } = significant(Math.abs(value), precision + 1)
  const fraction = precision > 0 ? `.${digits.slice(1)}` : ""
  const exponent = String(Math.abs(power)).padStart(2, "0")
  return `${isNegative(value) ? "-" : ""}${digits.charAt(0)}${fraction}e${power < 0 ? "-" : "+"}${exponent}`
}

/** `printf("%.<precision>f", value)` of a finite number. */
export const formatF = (value: number, precision: number): string => {
  const sign = isNegative(value) ? "-" : ""
  const size = Math.abs(value)
  if (size >= 1e21) return `${sign}${BigInt(size)}${precision > 0 ? `.${"0".repeat(precision)}` : ""}`
  const exact = size.toFixed(Math.min(100, precision + 60))
  const cut = exact.length - Math.min(100, precision + 60) + precision
  const isTie = /^50*$/.test(exact.slice(cut))
  const shown =
    isTie && Number(exact.slice(0, cut).replace(".", "").at(-1)) % 2 === 0
      ? exact.slice(0, cut)
      : size.toFixed(precision)
  return sign + shown.replace(/\.$/, "")
}

const isNegative = (value: number) => value < 0 || Object.is(value, -0)

/** A number as Redis writes a score. */
export const formatScore = (value: number): string => formatG(value, 17)

const decimal = /^(0|-?[1-9]\d{0,18})$/
const largest = 2n ** 63n

/** A 64-bit integer as Redis reads one: no sign but a minus, no leading zeros; `undefined` for all else. */
export const parseInt64 = (text: string): bigint | undefined => {
  if (!decimal.test(text)) return undefined
  const value = BigInt(text)
  return value >= largest || value < -largest ? undefined : value
}

/** A float as Redis reads one; `undefined` for all else. */
export const parseFloat64 = (text: string): number | undefined => {
  const infinite = /^([+-]?)inf(inity)?$/i.exec(text)
  if (infinite !== null) return infinite[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : undefined
}

/** Redis' glob patterns: `*`, `?`, `[a-z]`, `[^a]`, `\` before a literal. */
export const globToRegExp = (pattern: string): RegExp => {
  let source = ""
  for (let i = 0; i < pattern.length; i++) {
    const char = pattern.charAt(i)
    if (char === "*") source += "[^]*"
    else if (char === "?") source += "[^]"
    else if (char === "\\" && i + 1 < pattern.length) source += escape(pattern.charAt(++i))
    else if (char === "[") {
      const end = closing(pattern, i + 1)
      source += charClass(pattern.slice(i + 1, end))
      i = end
    } else source += escape(char)
  }
  return new RegExp(`^${source}$`)
}

const escape = (char: string) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`

/** Where the class ends; an open one goes to the pattern's end. */
const closing = (pattern: string, from: number) => {
  for (let i = from; i < pattern.length; i++) {
    if (pattern[i] === "\\") i++
    else if (pattern[i] === "]") return i
  }
  return pattern.length
}

const charClass = (inside: string) => {
  const negated = inside.startsWith("^")
  let source = ""
  for (let i = negated ? 1 : 0; i < inside.length; i++) {
    if (inside[i] === "\\" && i + 1 < inside.length) i++
    const from = inside.charAt(i)
    if (inside[i + 1] === "-" && i + 2 < inside.length) {
      const to = inside.charAt(i + 2)
      source += from <= to ? `${escape(from)}-${escape(to)}` : `${escape(to)}-${escape(from)}`
      i += 2
    } else source += escape(from)
  }
  if (source === "") return negated ? "[^]" : "[]"
  return `[${negated ? "^" : ""}${source}]`
}
