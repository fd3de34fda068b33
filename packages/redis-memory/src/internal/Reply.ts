/**
 * What a command answers, before it is written for a protocol or handed to a
 * caller in this process.
 *
 * Texts are byte strings: one character, U+0000 to U+00FF, for each byte. They
 * compare and index as Redis compares bytes; `Bytes` turns them into text.
 */

/** A line such as `OK`. */
export class Status {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** An error reply in Redis' own words; commands throw it. */
export class Failure {
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

/** Name, value, name, value: a map in RESP3, flat in RESP2. */
export class Pairs {
  readonly flat: ReadonlyArray<Reply>
  constructor(flat: ReadonlyArray<Reply>) {
    this.flat = flat
  }
}

/** `[name, value]` each: a map in RESP3, nested arrays in RESP2. */
export class Streams {
  readonly entries: ReadonlyArray<readonly [string, Reply]>
  constructor(entries: ReadonlyArray<readonly [string, Reply]>) {
    this.entries = entries
  }
}

/** `[member, score]` each: nested in RESP3, flat in RESP2. */
export class Scored {
  readonly pairs: ReadonlyArray<readonly [string, number]>
  constructor(pairs: ReadonlyArray<readonly [string, number]>) {
    this.pairs = pairs
  }
}

/** A score: a double in RESP3, text in RESP2. */
export class Double {
  readonly value: number
  constructor(value: number) {
    this.value = value
  }
}

/** Members without an order: a set in RESP3, an array in RESP2. */
export class Members {
  readonly items: ReadonlyArray<string>
  constructor(items: ReadonlyArray<string>) {
    this.items = items
  }
}

/** Text meant for people: verbatim in RESP3, a bulk string in RESP2. */
export class Verbatim {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** No list, as opposed to no text. */
export class NilList {
  readonly nil = true
}

/** The command has answered by pushing messages. */
export class Silent {
  readonly silent = true
}

export type Reply =
  | string
  | number
  | bigint
  | null
  | Status
  | Failure
  | Pairs
  | Streams
  | Scored
  | Double
  | Members
  | Verbatim
  | NilList
  | Silent
  | ReadonlyArray<Reply>

export const ok = new Status("OK")
export const nilList = new NilList()
export const silent = new Silent()

export const wrongType = () =>
  new Failure("WRONGTYPE Operation against a key holding the wrong kind of value")
export const syntaxError = () => new Failure("ERR syntax error")
export const notInteger = () => new Failure("ERR value is not an integer or out of range")
export const notFloat = () => new Failure("ERR value is not a valid float")
export const wrongArity = (name: string) => new Failure(`ERR wrong number of arguments for '${name}' command`)
