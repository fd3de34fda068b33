/**
 * The public CEL conformance suite as plain cases, for our engine and for the oracle.
 */

import { Cel } from "@agion/policy"
import { celEnv, celUint, isCelError, parse, plan } from "@bufbuild/cel"
import { strings } from "@bufbuild/cel/ext"
import { tests } from "@bufbuild/cel-spec/testdata/conformance.js"
import type { Overload } from "../../src/cel/Declarations.ts"
import { parseDuration, parseTimestamp } from "../../src/cel/Time.ts"
import {
  CelMap,
  Duration,
  equals,
  keysOf,
  kindOf,
  lookup,
  Timestamp,
  TypeValue,
  Uint
} from "../../src/cel/Value.ts"

type Json = { readonly [key: string]: unknown }

interface Original {
  readonly name?: string
  readonly expr: string
  readonly value?: Json
  readonly evalError?: Json
  readonly typedResult?: { readonly result?: Json; readonly deducedType?: Json }
  readonly typeEnv?: ReadonlyArray<Json>
  readonly bindings?: { readonly [name: string]: { readonly value: Json } }
  readonly disableCheck?: boolean
  readonly checkOnly?: boolean
  readonly container?: string
}

interface Entry {
  readonly original: Original
  readonly type?: string
}

interface Suite {
  readonly name: string
  readonly suites?: ReadonlyArray<Suite>
  readonly tests?: ReadonlyArray<Entry>
}

/** One case with the file it stands in. */
export interface Case {
  readonly file: string
  readonly section: string
  readonly test: Original
  /** The type the suite's own checker deduced. */
  readonly type: string | undefined
}

/** Whole files about protobuf messages, and the one extension that is not offered. */
export const leftOut: Readonly<Record<string, string>> = {
  block_ext: "an optimizer's internal form, not written by people",
  dynamic: "protobuf wrapper and struct messages",
  enums: "protobuf enums",
  proto2: "protobuf messages",
  proto2_ext: "protobuf extensions",
  proto3: "protobuf messages",
  wrappers: "protobuf wrapper messages"
}

const MESSAGE =
  /TestAllTypes|NestedTestAllTypes|google\.protobuf\.(?!Timestamp\b|Duration\b)[A-Z]|GlobalEnum|"wrapper"|"messageType":"(?!google\.protobuf\.(?:Timestamp|Duration)")|proto\.(?:has|get)Ext/

/** Every case that needs no protobuf message. */
export const cases = (): ReadonlyArray<Case> => {
  const out: Array<Case> = []
  const walk = (suite: Suite, file: string): void => {
    for (const { original, type } of suite.tests ?? []) {
      if (!MESSAGE.test(JSON.stringify(original)))
        out.push({ file, section: suite.name, test: original, type })
    }
    for (const inner of suite.suites ?? []) walk(inner, file)
  }
  for (const file of (tests as Suite).suites ?? []) {
    if (!Object.hasOwn(leftOut, file.name)) walk(file, file.name)
  }
  return out
}

const base64 = (text: string): Uint8Array => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))

interface Makers {
  readonly int: (n: bigint) => unknown
  readonly uint: (n: bigint) => unknown
  readonly map: (entries: ReadonlyArray<readonly [unknown, unknown]>) => unknown
  readonly object: (o: Json) => unknown
  readonly type: (name: string) => unknown
}

/** A value of the suite, built by the makers of an engine. */
const build = (v: Json, make: Makers): unknown => {
  const [key = "", x] = Object.entries(v)[0] ?? []
  switch (key) {
    case "int64Value":
      return make.int(BigInt(x as string))
    case "uint64Value":
      return make.uint(BigInt(x as string))
    case "doubleValue":
      return Number(x)
    case "bytesValue":
      return base64(x as string)
    case "listValue":
      return ((x as { values?: ReadonlyArray<Json> }).values ?? []).map((item) => build(item, make))
    case "mapValue":
      return make.map(
        ((x as { entries?: ReadonlyArray<{ key: Json; value: Json }> }).entries ?? []).map(
          (e) => [build(e.key, make), build(e.value, make)] as const
        )
      )
    case "typeValue":
      return make.type(x as string)
    case "objectValue":
      return make.object(x as Json)
    default:
      return x
  }
}

const ours: Makers = {
  int: (n) => n,
  uint: (n) => new Uint(n),
  map: (entries) => {
    const m = new CelMap()
    for (const [k, v] of entries) m.add(k, v)
    return m
  },
  object: (o) =>
    String(o["@type"]).endsWith("Duration")
      ? parseDuration(String(o["value"]))
      : parseTimestamp(String(o["value"])),
  type: (name) => new TypeValue(name)
}

const T = Cel.Type
type Type = Cel.Type.Type

const PRIMITIVE: Readonly<Record<string, Type>> = {
  BOOL: T.BOOL,
  INT64: T.INT,
  UINT64: T.UINT,
  DOUBLE: T.DOUBLE,
  STRING: T.STRING,
  BYTES: T.BYTES
}

/** A type of the suite. */
const typeFrom = (t: Json): Type => {
  const [key = "", x] = Object.entries(t)[0] ?? []
  const inner = x as { readonly [k: string]: Json }
  switch (key) {
    case "primitive":
      return PRIMITIVE[x as string] ?? T.DYN
    case "listType":
      return T.list(typeFrom(inner["elemType"] ?? {}))
    case "mapType":
      return T.map(typeFrom(inner["keyType"] ?? {}), typeFrom(inner["valueType"] ?? {}))
    case "messageType":
      return String(x).endsWith("Duration") ? T.DURATION : T.TIMESTAMP
    case "wellKnown":
      return x === "DURATION" ? T.DURATION : T.TIMESTAMP
    case "null":
      return T.NULL
    case "typeParam":
      return T.variable(String(x))
    case "type":
      return T.typeOf(typeFrom(x as Json))
    case "abstractType": {
      const { name, parameterTypes } = x as {
        readonly name: string
        readonly parameterTypes?: ReadonlyArray<Json>
      }
      const of = (parameterTypes ?? []).map(typeFrom)
      return name === "optional_type" ? T.optional(of[0] ?? T.DYN) : { k: "abstract", name, of }
    }
    default:
      return T.DYN
  }
}

const environmentOf = (test: Original): Cel.Environment => {
  const variables: Record<string, Type> = {}
  const functions = new Map<string, ReadonlyArray<Overload>>()
  for (const name of Object.keys(test.bindings ?? {})) variables[name] = T.DYN
  for (const decl of test.typeEnv ?? []) {
    const {
      name,
      ident,
      function: f
    } = decl as {
      readonly name: string
      readonly ident?: { readonly type: Json }
      readonly function?: { readonly overloads: ReadonlyArray<Json> }
    }
    if (ident !== undefined) variables[name] = typeFrom(ident.type)
    if (f !== undefined) {
      functions.set(
        name,
        f.overloads.map((o) => ({
          method: o["isInstanceFunction"] === true,
          params: ((o["params"] ?? []) as ReadonlyArray<Json>).map(typeFrom),
          result: typeFrom((o["resultType"] ?? {}) as Json)
        }))
      )
    }
  }
  return Cel.environment(variables, { container: test.container ?? "", functions })
}

export type Outcome = "passed" | "failed" | "differs"

export interface Ran {
  readonly outcome: Outcome
  readonly note: string
  /** The type our checker deduced, where it ran. */
  readonly type: string | undefined
}

const SPEND = { spend: () => {} }

/** Equality of kind and value, so that 1 and 1.0 differ and NaN is NaN. */
export const same = (a: unknown, b: unknown): boolean => {
  if (kindOf(a) !== kindOf(b)) return false
  if (typeof a === "number") return Object.is(a, b) || a === b
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((x, i) => same(x, b[i]))
  if (kindOf(a) === "map") {
    const keys = keysOf(a)
    return keys.length === keysOf(b).length && keys.every((k) => same(lookup(a, k), lookup(b, k)))
  }
  return equals(a, b, SPEND) === true
}

const expected = (test: Original): Json | undefined =>
  test.evalError !== undefined ? undefined : (test.value ?? test.typedResult?.result ?? { boolValue: true })

const show = (v: unknown): string => {
  if (v instanceof Cel.Fault) return `${v.code}: ${v.message}`
  if (v instanceof Timestamp || v instanceof Duration) return String(v.ns)
  return JSON.stringify(Cel.toJson(v)) ?? String(v)
}

/** Runs a case on our engine. */
export const runOurs = ({ test }: Case): Ran => {
  const made = Cel.compile(test.expr, {
    environment: environmentOf(test),
    lenient: test.disableCheck ?? false
  })
  const want = expected(test)
  if (!made.ok) {
    const note = made.issues.map((i) => i.message).join("; ")
    return { outcome: want === undefined ? "passed" : "failed", note, type: undefined }
  }
  const deduced = made.program.type
  if (test.checkOnly === true || (test.typedResult !== undefined && test.typedResult.result === undefined)) {
    const wanted = T.format(typeFrom(test.typedResult?.deducedType ?? {}), true)
    return {
      outcome: deduced === wanted ? "passed" : "failed",
      note: `${deduced}, not ${wanted}`,
      type: deduced
    }
  }
  const input = Object.fromEntries(
    Object.entries(test.bindings ?? {}).map(([k, v]) => [k, build(v.value, ours)])
  )
  const got = made.program.evaluate(input)
  if (want === undefined)
    return { outcome: got instanceof Cel.Fault ? "passed" : "differs", note: show(got), type: deduced }
  if (got instanceof Cel.Fault) return { outcome: "failed", note: show(got), type: deduced }
  return { outcome: same(got, build(want, ours)) ? "passed" : "differs", note: show(got), type: deduced }
}

const theirs: Makers = {
  int: (n) => n,
  uint: (n) => celUint(n),
  map: (entries) => new Map(entries as ReadonlyArray<readonly [string, unknown]>),
  object: () => {
    throw new Error("no messages")
  },
  type: () => {
    throw new Error("no types")
  }
}

/** Whether the oracle passes a case that ends in a plain value or an error. */
export const oraclePasses = ({ test }: Case): boolean => {
  const want = expected(test)
  try {
    const bindings = Object.fromEntries(
      Object.entries(test.bindings ?? {}).map(([k, v]) => [k, build(v.value, theirs)])
    )
    const env = celEnv({ namespace: test.container ?? "", funcs: strings })
    const got = plan(env, parse(test.expr))(bindings as never)
    if (want === undefined) return isCelError(got)
    return !isCelError(got) && oracleValue(got, want)
  } catch {
    return want === undefined
  }
}

/** The oracle's value in our terms, as far as plain values go. */
export const fromOracle = (v: unknown): unknown => {
  if (v === null || typeof v !== "object" || v instanceof Uint8Array) return v
  const o = v as Json & { readonly size?: number }
  if (Symbol.iterator in o && !("get" in o && "has" in o && "entries" in o)) {
    return Array.from(v as Iterable<unknown>, fromOracle)
  }
  if ("get" in o && "has" in o) {
    const m = new CelMap()
    for (const [k, x] of v as Iterable<readonly [unknown, unknown]>) m.add(fromOracle(k), fromOracle(x))
    return m
  }
  if ("value" in o && typeof o["value"] === "bigint") return new Uint(o["value"])
  if ("name" in o && "kind" in o) return new TypeValue(String(o["name"]))
  if ("desc" in o && "message" in o) {
    const { seconds, nanos } = o["message"] as { readonly seconds: bigint; readonly nanos: number }
    const ns = seconds * 1_000_000_000n + BigInt(nanos)
    return String((o["desc"] as Json)["typeName"]).endsWith("Duration") ? new Duration(ns) : new Timestamp(ns)
  }
  return v
}

const oracleValue = (got: unknown, want: Json): boolean => same(fromOracle(got), build(want, ours))
