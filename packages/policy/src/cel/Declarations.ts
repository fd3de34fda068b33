/**
 * Every function of the language, as the checker sees it: one signature a line.
 *
 * `name(args): result` is a function, `receiver~name(args): result` a method; capital letters are type
 * parameters. What a function does stands in the library beside this file.
 */
import {
  BOOL,
  BYTES,
  CIDR,
  DOUBLE,
  DURATION,
  DYN,
  INT,
  IP,
  list,
  map,
  NULL,
  optional,
  STRING,
  TIMESTAMP,
  type Type,
  typeOf,
  UINT,
  variable
} from "./Type.ts"

/** One way to call a function. */
export interface Overload {
  readonly method: boolean
  /** The receiver first, when it is a method. */
  readonly params: ReadonlyArray<Type>
  readonly result: Type
}

const comparable = ["bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration"]
const numbers = ["int", "uint", "double"]

const relations = ["_<_", "_<=_", "_>_", "_>=_"].flatMap((op) => [
  ...comparable.map((t) => `${op}(${t}, ${t}): bool`),
  ...numbers.flatMap((a) => numbers.filter((b) => b !== a).map((b) => `${op}(${a}, ${b}): bool`))
])

const same = (names: string, types: string): Array<string> =>
  names.split(" ").flatMap((n) => types.split(" ").map((t) => `${n}(${t}, ${t}): ${t}`))

const extremes = ["math.greatest", "math.least"].flatMap((n) => [
  ...numbers.map((t) => `${n}(${t}): ${t}`),
  ...numbers.map((t) => `${n}(list<${t}>): ${t}`),
  `${n}(list<dyn>): dyn`,
  ...numbers.flatMap((a) => numbers.map((b) => `${n}(${a}, ${b}): ${a === b ? a : "dyn"}`))
])

const dateParts = ["getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"]
const timeParts = ["getHours", "getMinutes", "getSeconds", "getMilliseconds"]

const times = [
  ...[...dateParts, ...timeParts].flatMap((n) => [`timestamp~${n}(): int`, `timestamp~${n}(string): int`]),
  ...timeParts.map((n) => `duration~${n}(): int`)
]

const conversions = Object.entries({
  int: "int uint double string timestamp",
  uint: "uint int double string",
  double: "double int uint string",
  string: "string bool int uint double bytes timestamp duration ip cidr",
  bytes: "bytes string",
  bool: "bool string",
  timestamp: "timestamp string int",
  duration: "duration string",
  ip: "string",
  cidr: "string"
}).flatMap(([to, from]) => from.split(" ").map((t) => `${to}(${t}): ${to}`))

const TEXT = `
_==_(A, A): bool
_!=_(A, A): bool
!_(bool): bool
-_(int): int
-_(double): double
_+_(list<A>, list<A>): list<A>
_+_(timestamp, duration): timestamp
_+_(duration, timestamp): timestamp
_-_(timestamp, timestamp): duration
_-_(timestamp, duration): timestamp
@in(A, list<A>): bool
@in(A, map<A, B>): bool
_[_](list<A>, int): A
_[_](map<A, B>, A): B
_[_](optional<list<A>>, int): optional<A>
_[_](optional<map<A, B>>, A): optional<B>
_[?_](list<A>, int): optional<A>
_[?_](map<A, B>, A): optional<B>
_[?_](optional<list<A>>, int): optional<A>
_[?_](optional<map<A, B>>, A): optional<B>
dyn(A): dyn
type(A): type<A>
string~contains(string): bool
string~startsWith(string): bool
string~endsWith(string): bool
string~matches(string): bool
matches(string, string): bool
string~charAt(int): string
string~indexOf(string): int
string~indexOf(string, int): int
string~lastIndexOf(string): int
string~lastIndexOf(string, int): int
string~lowerAscii(): string
string~upperAscii(): string
string~replace(string, string): string
string~replace(string, string, int): string
string~split(string): list<string>
string~split(string, int): list<string>
string~substring(int): string
string~substring(int, int): string
string~trim(): string
string~reverse(): string
string~format(list<dyn>): string
list<string>~join(): string
list<string>~join(string): string
strings.quote(string): string
glob(string, string): bool
base64.encode(bytes): string
base64.decode(string): bytes
math.ceil(double): double
math.floor(double): double
math.round(double): double
math.trunc(double): double
math.isNaN(double): bool
math.isInf(double): bool
math.isFinite(double): bool
math.sqrt(int): double
math.sqrt(uint): double
math.sqrt(double): double
math.bitNot(int): int
math.bitNot(uint): uint
math.bitShiftLeft(int, int): int
math.bitShiftLeft(uint, int): uint
math.bitShiftRight(int, int): int
math.bitShiftRight(uint, int): uint
sets.contains(list<A>, list<A>): bool
sets.equivalent(list<A>, list<A>): bool
sets.intersects(list<A>, list<A>): bool
optional.of(A): optional<A>
optional.ofNonZeroValue(A): optional<A>
optional.none(): optional<A>
optional<A>~hasValue(): bool
optional<A>~value(): A
optional<A>~or(optional<A>): optional<A>
optional<A>~orValue(A): A
isIP(string): bool
ip.isCanonical(string): bool
ip~family(): int
ip~isUnspecified(): bool
ip~isLoopback(): bool
ip~isLinkLocalMulticast(): bool
ip~isLinkLocalUnicast(): bool
ip~isGlobalUnicast(): bool
isCIDR(string): bool
cidr~containsIP(ip): bool
cidr~containsIP(string): bool
cidr~containsCIDR(cidr): bool
cidr~containsCIDR(string): bool
cidr~ip(): ip
cidr~masked(): cidr
cidr~prefixLength(): int`

const lines = (): ReadonlyArray<string> => [
  ...TEXT.trim().split("\n"),
  ...same("_+_", "int uint double string bytes duration"),
  ...same("_-_", "int uint double duration"),
  ...same("_*_ _/_", "int uint double"),
  ...same("_%_ math.bitAnd math.bitOr math.bitXor", "int uint"),
  ...numbers.flatMap((t) => [`math.abs(${t}): ${t}`, `math.sign(${t}): ${t}`]),
  ...["string", "bytes", "list<A>", "map<A, B>"].flatMap((t) => [`size(${t}): int`, `${t}~size(): int`]),
  ...relations,
  ...extremes,
  ...times,
  ...conversions
]

const NAMED: Readonly<Record<string, Type>> = {
  dyn: DYN,
  null: NULL,
  bool: BOOL,
  int: INT,
  uint: UINT,
  double: DOUBLE,
  string: STRING,
  bytes: BYTES,
  timestamp: TIMESTAMP,
  duration: DURATION,
  ip: IP,
  cidr: CIDR
}

/** Splits at commas outside angle brackets. */
const commas = (text: string): ReadonlyArray<string> => {
  const out: Array<string> = []
  let level = 0
  let start = 0
  for (let i = 0; i <= text.length; i++) {
    if (text[i] === "<") level++
    else if (text[i] === ">") level--
    else if ((i === text.length || text[i] === ",") && level === 0) {
      out.push(text.slice(start, i).trim())
      start = i + 1
    }
  }
  return out.filter((x) => x !== "")
}

const parseType = (text: string): Type => {
  const open = text.indexOf("<")
  if (open < 0) return NAMED[text] ?? variable(text)
  const args = commas(text.slice(open + 1, -1)).map(parseType)
  const [a = DYN, b = DYN] = args
  const name = text.slice(0, open)
  if (name === "list") return list(a)
  if (name === "map") return map(a, b)
  return name === "optional" ? optional(a) : typeOf(a)
}

const parseLine = (line: string): readonly [string, Overload] => {
  const open = line.indexOf("(")
  const close = line.lastIndexOf("):")
  const [head, tail] = [line.slice(0, open), line.slice(close + 2).trim()]
  const tilde = head.indexOf("~")
  const params = commas(line.slice(open + 1, close)).map(parseType)
  const result = parseType(tail)
  if (tilde < 0) return [head, { method: false, params, result }]
  return [
    head.slice(tilde + 1),
    { method: true, params: [parseType(head.slice(0, tilde)), ...params], result }
  ]
}

let table: ReadonlyMap<string, ReadonlyArray<Overload>> | undefined

/** All overloads by function name; built on first use. */
export const declarations = (): ReadonlyMap<string, ReadonlyArray<Overload>> => {
  if (table !== undefined) return table
  const out = new Map<string, Array<Overload>>()
  for (const line of lines()) {
    const [name, overload] = parseLine(line)
    const list = out.get(name)
    if (list === undefined) out.set(name, [overload])
    else list.push(overload)
  }
  table = out
  return out
}
