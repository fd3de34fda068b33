/** Reading arguments the way Redis does, with its own words for what is wrong. */
import { parseFloat64, parseInt64 } from "../Bytes.ts"
import type { Args } from "../Machine.ts"
import { Failure, notFloat, notInteger, syntaxError } from "../Reply.ts"

/** The argument at `index`; a missing one is a syntax error. */
export const at = (args: Args, index: number): string => {
  const arg = args[index]
  if (arg === undefined) throw syntaxError()
  return arg
}

/** A 64-bit integer. */
export const int64 = (text: string): bigint => {
  const value = parseInt64(text)
  if (value === undefined) throw notInteger()
  return value
}

/** An integer that JavaScript holds exactly. */
export const int = (text: string): number => Number(int64(text))

export const float = (text: string): number => {
  const value = parseFloat64(text)
  if (value === undefined) throw notFloat()
  return value
}

/** Milliseconds to an epoch time; `seconds` scales, `from` is added; must be positive for `command`. */
export const expireAt = (text: string, seconds: boolean, from: number, command: string): number => {
  const millis = int64(text) * (seconds ? 1000n : 1n)
  const time = millis + BigInt(from)
  if (millis <= 0n || time >= 2n ** 63n) throw new Failure(`ERR invalid expire time in '${command}' command`)
  return Number(time)
}

/** A range of a sequence of `length`, with negative indices from its end; `undefined` when it is empty. */
export const range = (start: number, stop: number, length: number): readonly [number, number] | undefined => {
  const from = start < 0 ? Math.max(0, length + start) : start
  const to = stop < 0 ? length + stop : Math.min(stop, length - 1)
  return from > to || from >= length ? undefined : [from, to]
}

/** The value if it is an integer small enough for a plain reply. */
export const integerReply = (value: bigint): number | bigint =>
  value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER) ? Number(value) : value
