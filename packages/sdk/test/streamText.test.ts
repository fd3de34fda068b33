import { Dlp } from "@agion/policy"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { PolicyViolation } from "../src/index.ts"
import { HeldBack, type Taken } from "../src/internal/HeldBack.ts"
import { type GovernedStreamOptions, governedStream } from "../src/stream.ts"
import { email, fresh, model, ready, secret, told } from "./Ready.ts"

const utf8 = new TextEncoder()

/** A message in the manner of frameworks: its text is a field, and a getter says it again. */
class Message {
  readonly content: string
  readonly kwargs: { readonly content: string }
  constructor(content: string) {
    this.content = content
    this.kwargs = { content }
  }
  get text(): string {
    return this.content
  }
}

/** Elements of one kind: of a piece of text, and their text. */
interface Shape {
  readonly of: (piece: string, at: number) => unknown
  readonly text: (element: unknown) => string
}

const shape = <A>(of: (piece: string, at: number) => A, text: (element: A) => string): Shape => ({
  of,
  text: (element) => text(element as A)
})

const shapes: Readonly<Record<string, Shape>> = {
  strings: shape(
    (piece) => piece,
    (piece) => piece
  ),
  "parts of the AI SDK": shape(
    (delta) => ({ type: "text-delta", id: "0", delta }),
    ({ delta }) => delta
  ),
  "chunks of OpenAI": shape(
    (content, at) => ({
      id: "chatcmpl-1",
      created: 1_790_000_000 + at,
      model: "gpt",
      choices: [{ index: 0, delta: at === 0 ? { role: "assistant", content } : { content } }]
    }),
    ({ choices }) => choices[0]?.delta.content ?? ""
  ),
  "instances of a class": shape(
    (piece) => new Message(piece),
    ({ text }) => text
  ),
  maps: shape(
    (piece) => new Map([["says", [piece]]]),
    (element) => element.get("says")?.[0] ?? ""
  )
}

const letGo = <A>(taken: Taken<A>): ReadonlyArray<A> => {
  if (taken._tag !== "Let") throw taken
  return taken.out
}

/** Everything that a stream of these elements lets go; it throws what ends it. */
const through = <A>(elements: ReadonlyArray<A>, observing = false): ReadonlyArray<A> => {
  const held = new HeldBack<A>({ dlp: Dlp.make(), observing })
  return [...elements.flatMap((element) => letGo(held.take(element))), ...letGo(held.end())]
}

const cut = (text: string, size: number): ReadonlyArray<string> =>
  Array.from({ length: Math.ceil(text.length / size) }, (_, i) => text.slice(i * size, (i + 1) * size))

const cutBytes = (bytes: Uint8Array, size: number): ReadonlyArray<Uint8Array> =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.slice(i * size, (i + 1) * size))

const aws = ["AK", "IA", "QZ3M5TXW7YB2LK4N"].join("")
const ssn = ["321", "54", "9876"].join("-")
const card = ["4111", "1111", "1111", "1111"].join(" ")
const uri = ["postgres://app:Rgc7", "kQ2x@db.example.com:5432/shop"].join("")
const wide = (text: string) => text.replace(/[!-~]/g, (c) => String.fromCodePoint(c.charCodeAt(0) + 0xfee0))
const armour = (word: string) => `-----${word} ${["PRIV", "ATE KEY"].join("")}-----`
const body = Buffer.from(Array.from({ length: 192 }, (_, i) => (i * 167 + 13) % 251)).toString("base64")
const pem = [armour("BEGIN"), ...(body.match(/.{1,64}/g) ?? []), armour("END")].join("\n")

/** Lines of every kind, disguised ones among them, and such as only look like one. */
const lines = [
  `the key is ${aws}`,
  `the key is ${secret}`,
  `SSN: ${ssn}`,
  `pay with ${card} please`,
  `engine = create_engine('${uri}')`,
  `the file says\n${pem}\n`,
  [...aws].join(" "),
  [...aws].join("\u200b"),
  wide(aws),
  encodeURIComponent(`the key is ${secret}`).replaceAll("-", "%2D"),
  `the key is ${btoa(`the key is ${aws}`)}`,
  `${aws.slice(0, 9)}" + "${aws.slice(9)}`,
  `${aws.slice(0, 9)}\n  ${aws.slice(9)}`,
  `SSN: ${ssn.replaceAll("-", "\u2011")}`,
  `write to ${email} and to m.a.r@example.org`,
  "maria (at) example [dot] com",
  `${email}, ${email}; \u00e9t\u00e9@example.com`,
  `git@host.example.com:path/of/it and icon@2x.png, pkg@1.2.3`,
  `order number ${card.replaceAll(" ", "")} of 2026-11-27`,
  "the words sk- and AKIA by themselves, 123-45-678",
  "\u0436\u0443\u043a \u4e2d\u6587 \u{1f511} and nothing else"
]

const dlp = Dlp.make()

/** What becomes of one text in these elements: blocked, or let go as this text. */
const fate = <A>(elements: ReadonlyArray<A>, textOf: (out: ReadonlyArray<A>) => string): string => {
  try {
    return textOf(through(elements))
  } catch (taken) {
    return String((taken as { readonly _tag: string })._tag)
  }
}

/** The same by one scan of the whole. */
const fateOfWhole = (text: string): string => {
  const { decision, findings } = dlp.scan(text)
  return decision === "block" ? "Blocked" : dlp.redact(text, findings)
}

describe("text in the elements of a stream", () => {
  for (const [name, { of, text }] of Object.entries(shapes))
    it(`DLP-2 in ${name} is found and redacted wherever their borders fall`, () => {
      for (const line of lines)
        for (const size of [1, 5, 40]) {
          const whole = `${line} and no more`
          // What a field alone tells is told by the whole as well: a number in one element is one.
          const elements = cut(whole, size).map(of)
          const found = fate(elements, (out) => out.map(text).join(""))
          assert.strictEqual(found, fateOfWhole(whole), `${line} by ${size}`)
        }
    })

  it("DLP-2 lines of both kinds are among those that are cut", () => {
    const blocked = lines.filter((line) => fateOfWhole(line) === "Blocked")
    const redacted = lines.filter((line) => /\[email:/.test(fateOfWhole(line)))
    const clean = lines.filter((line) => fateOfWhole(line) === line)
    assert.deepStrictEqual([blocked.length, redacted.length, clean.length], [14, 3, 4])
  })

  it("DLP-2 in bytes is found and redacted wherever their borders fall, also within a character", () => {
    for (const line of lines)
      for (const size of [1, 3, 40]) {
        const whole = `${line} \u00e9\u{1f511}\u4e2d`
        const found = fate(cutBytes(utf8.encode(whole), size), (out) => Buffer.concat(out).toString("utf8"))
        assert.strictEqual(found, fateOfWhole(whole), `${line} by ${size}`)
      }
  })

  it("GOVERN-4 bytes that are no text and elements without a finding go on as they came", () => {
    const bytes = Uint8Array.from({ length: 3000 }, (_, i) => (i * 7919) % 256)
    const out = through(cutBytes(bytes, 256))
    assert.deepStrictEqual(Buffer.concat(out), Buffer.from(bytes))
    const message = new Message("hello")
    const elements = [{ type: "start" }, 1, null, message, Buffer.from("hello"), "", undefined, new Date(0)]
    const gone = through<unknown>(elements)
    assert.deepStrictEqual(gone, elements)
    for (const [i, element] of elements.entries()) assert.strictEqual(gone[i], element)
  })

  it("GOVERN-4 a placeholder stands in the element where what it stands for began", () => {
    const half = email.indexOf("@") + 3
    const elements = [
      { id: 1, delta: "write to " },
      { id: 2, delta: email.slice(0, half) },
      { id: 3, delta: `${email.slice(half)} today` },
      { id: 4, delta: ", please" }
    ]
    const out = through(elements)
    assert.deepStrictEqual(out, [
      { id: 1, delta: "write to " },
      { id: 2, delta: "[email:32]" },
      { id: 3, delta: " today" },
      { id: 4, delta: ", please" }
    ])
    assert.strictEqual(out[0], elements[0])
    assert.include(JSON.stringify(elements), "ada.lovelace")
  })

  it("GOVERN-4 what is made anew is of its kind, and what its getters say follows", () => {
    const out = through([new Message("write to "), new Message(email)])
    assert.instanceOf(out[1], Message)
    assert.deepStrictEqual(out[1], new Message("[email:32]"))
    assert.strictEqual(out[1]?.text, "[email:32]")
    const [buffer] = through([Buffer.from(`write to ${email}`)])
    assert.isTrue(Buffer.isBuffer(buffer))
    assert.strictEqual(String(buffer), "write to [email:32]")
    const [error] = through([new TypeError(`no answer from ${email}`)])
    assert.instanceOf(error, TypeError)
    assert.strictEqual(error?.message, "no answer from [email:32]")
  })

  it("DLP-2 texts that take turns are told apart by their fields, and by `index` in a list", () => {
    const chunk = (index: number, content: string) => ({ choices: [{ index, delta: { content } }] })
    const pieces = cut(secret, 8)
    assert.throws(() => through(pieces.flatMap((piece) => [chunk(0, piece), chunk(1, "so it is ")])))
    const parts = pieces.flatMap((delta) => [{ delta }, { reasoning: "so it is " }])
    assert.throws(() => through<object>(parts))
  })

  /** Elements of two texts that take turns, told apart in the manner of several frameworks. */
  const turns: Readonly<Record<string, (text: number, piece: string, at: number) => object>> = {
    "`id`, as parts of the AI SDK": (text, delta) => ({ type: "text-delta", id: `${text}`, delta }),
    "`index`, as events of Anthropic": (index, text) => ({
      type: "content_block_delta",
      index,
      delta: { type: "text_delta", text }
    }),
    "`content_index`, as events of OpenAI": (content_index, delta, at) => ({
      type: "response.output_text.delta",
      item_id: "msg_1",
      output_index: 0,
      content_index,
      delta,
      sequence_number: at
    }),
    "`id` beside an `id` of each element": (text, content, at) => ({
      id: `event-${at}`,
      part: { id: `${text}`, content }
    })
  }

  const takingTurns = (
    of: (text: number, piece: string, at: number) => object,
    one: ReadonlyArray<string>,
    other: ReadonlyArray<string>
  ) => one.flatMap((piece, i) => [of(0, piece, 2 * i), of(1, other[i] ?? " and", 2 * i + 1)])

  for (const [name, of] of Object.entries(turns)) {
    it(`DLP-2 texts that take turns are told apart by ${name}`, () => {
      for (const size of [4, 8]) {
        const pieces = cut(`here it is: ${secret}`, size)
        assert.throws(() => through(takingTurns(of, pieces, [])), undefined, undefined, `by ${size}`)
      }
    })

    it(`GOVERN-4 a placeholder stands where it began in texts that take turns by ${name}`, () => {
      const pieces = ["write ", "to ", ...cut(email, 5), " today", ", please"]
      const elements = takingTurns(of, pieces, [])
      const out = through(elements)
      const said = (list: ReadonlyArray<object>, text: number) =>
        list.filter((_, i) => i % 2 === text).map((element) => JSON.stringify(element))
      assert.deepStrictEqual(said(out, 1), said(elements, 1))
      const first = said(out, 0).join("")
      assert.include(first, "[email:32]")
      for (const piece of cut(email, 5)) assert.notInclude(first, piece)
      assert.include(first, "today")
    })
  }

  it("DLP-2 texts of which each is named by two fields together are told apart", () => {
    const of = (output_index: number, content_index: number) => (delta: string) => ({
      output_index,
      content_index,
      delta
    })
    const [hidden, ...others] = [of(0, 0), of(0, 1), of(1, 0), of(1, 1)]
    const elements = cut(secret, 8).flatMap((piece) => [
      hidden?.(piece),
      ...others.map((element) => element("so it is "))
    ])
    assert.throws(() => through(elements))
  })

  it("DLP-2 a text that is named anew in each element, or once after another, stays one", () => {
    const pieces = cut(secret, 8)
    assert.throws(() => through(pieces.map((delta, id) => ({ id, delta }))))
    assert.throws(() => through(pieces.map((delta, i) => ({ id: i < 3 ? "a" : "b", delta }))))
  })

  it("GOVERN-4 texts that take turns are let go while they come, and little of them is remembered", () => {
    const held = new HeldBack<object>({ dlp: Dlp.make(), observing: false })
    const elements = Array.from({ length: 20_000 }, (_, i) => ({ id: i % 2, delta: `word ${i} ` }))
    const out = elements.flatMap((element) => letGo(held.take(element)))
    assert.isAbove(out.length, 15_000)
    assert.deepStrictEqual([...out, ...letGo(held.end())], elements)
    const ending = Array.from({ length: 1000 }, (_, i) => ({ id: i < 40 ? i % 2 : 0, delta: `word ${i} ` }))
    const last = new HeldBack<object>({ dlp: Dlp.make(), observing: false })
    assert.isAbove(ending.flatMap((element) => letGo(last.take(element))).length, 400)
    const named = Array.from({ length: 5000 }, (_, id) => ({ id, delta: `word ${id} ` }))
    const other = new HeldBack<object>({ dlp: Dlp.make(), observing: false })
    assert.isAbove(named.flatMap((element) => letGo(other.take(element))).length, 3000)
  })

  it("GOVERN-4 what fills an element is found whatever stands before and after it", () => {
    const rows: ReadonlyArray<(text: string) => unknown> = [
      (text) => text,
      (text) => Buffer.from(text),
      (value) => ({ value }),
      (output) => ({ type: "tool-result", output: [output] })
    ]
    const number = card.replaceAll(" ", "")
    const others: ReadonlyArray<readonly [string, string]> = [
      ["Ada", "Grace"],
      ["1234", "5678"],
      ["so that it is".repeat(2000), "y"]
    ]
    const said = (out: ReadonlyArray<unknown>) =>
      out.map((one) => (Buffer.isBuffer(one) ? String(one) : JSON.stringify(one))).join()
    for (const of of rows)
      for (const [before, after] of others) {
        for (const text of [number, ssn, aws]) {
          for (const texts of [
            [before, text, after],
            [text, text],
            [...text].map((_, i) => text.slice(0, i + 1))
          ])
            assert.throws(
              () => through(texts.map(of)),
              undefined,
              undefined,
              `${text} in ${JSON.stringify(of(""))}`
            )
          assert.notInclude(said(through([before, text, after].map(of), true)), text)
        }
        assert.notInclude(said(through([before, email, after].map(of))), email)
      }
  })

  it("DLP-5 the texts of one element are looked through once, however many there are", () => {
    let asked = 0
    const counting: Dlp.Dlp = {
      ...dlp,
      stream: (options) => {
        const watch = dlp.stream(options)
        return {
          ...watch,
          released: () => {
            asked++
            return watch.released()
          }
        }
      }
    }
    const rows = Array.from({ length: 4000 }, (_, i) => `row ${i}`)
    const held = new HeldBack<object>({ dlp: counting, observing: false })
    assert.deepStrictEqual([...letGo(held.take({ rows })), ...letGo(held.end())], [{ rows }])
    assert.isBelow(asked, 10 * rows.length)
  })

  it("DLP-2 what the name of a field tells is found in it", () => {
    const word = ["Tr0ub4dor", "x9Qz"].join("&")
    assert.throws(() => through([{ input: { password: word } }]))
    assert.deepStrictEqual(through([{ to: { [email]: 1 } }]), [{ to: { "[email:32]": 1 } }] as never)
  })

  it("GOVERN-4 an element whose text is over does not hold up those after it until the end", () => {
    const held = new HeldBack<object>({ dlp: Dlp.make(), observing: false })
    const elements = Array.from({ length: 4000 }, (_, i) =>
      i === 0 ? { type: "start", note: "once" } : { type: "text", text: `word ${i} ` }
    )
    const before = elements.flatMap((element) => letGo(held.take(element)))
    assert.isAbove(before.length, 2000)
    assert.deepStrictEqual([...before, ...letGo(held.end())], elements)
  })

  it("GOVERN-4 names beside a text hold nothing up: with a short hold-back it is seen as it comes", () => {
    const said = (at: number) => `word ${at} `
    const deltas = (of: (text: string) => object) => Array.from({ length: 300 }, (_, i) => of(said(i)))
    const streams: Readonly<Record<string, ReadonlyArray<unknown>>> = {
      strings: Array.from({ length: 300 }, (_, i) => said(i)),
      "the AI SDK": [
        { type: "start", messageId: "msg_68a1" },
        { type: "start-step" },
        { type: "text-start", id: "0" },
        ...deltas((delta) => ({ type: "text-delta", id: "0", delta }))
      ],
      OpenAI: [
        { id: "chatcmpl-1", object: "chat.completion.chunk", choices: [{ delta: { role: "assistant" } }] },
        ...deltas((content) => ({
          id: "chatcmpl-1",
          object: "chat.completion.chunk",
          system_fingerprint: "fp_4470",
          choices: [{ index: 0, delta: { content } }]
        }))
      ],
      Anthropic: [
        { type: "message_start", message: { id: "msg_01X", role: "assistant", model: "claude-x-20260101" } },
        { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
        ...deltas((text) => ({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } }))
      ],
      messages: deltas((text) => new Message(text))
    }
    for (const [name, elements] of Object.entries(streams)) {
      const held = new HeldBack<unknown>({ dlp: Dlp.make(), observing: false, holdBack: 128 })
      const before = elements.flatMap((element) => letGo(held.take(element)))
      // 128 characters wait, and as many as it takes to look at them again.
      assert.isAbove(before.length, elements.length - 30, name)
      assert.deepStrictEqual([...before, ...letGo(held.end())], elements, name)
    }
  })

  it("DLP-2 what only looks like names is watched as text", () => {
    for (const pieces of [
      ["4111", " 1111", " 1111", " 1111"],
      cut(aws, 4),
      cut(aws, 1),
      [...cut("the word is: ", 3), ...cut(secret, 3)]
    ]) {
      const elements = pieces.flatMap((text) => [{ type: "text", text }, { type: "ping" }])
      const held = new HeldBack<object>({ dlp: Dlp.make(), observing: false, holdBack: 128 })
      const taken = [...elements.map((element) => held.take(element)), held.end()]
      assert.isTrue(
        taken.some(({ _tag }) => _tag === "Blocked"),
        pieces.join("|")
      )
      const out = taken.flatMap((one) => (one._tag === "Let" ? one.out : []))
      assert.strictEqual(out.filter((one) => "text" in one).length, 0, pieces.join("|"))
    }
  })

  it("GOVERN-4 a secret that goes on after its text was over is still found", () => {
    const held = new HeldBack<unknown>({ dlp: Dlp.make(), observing: false })
    const out = [secret.slice(0, 20), ...Array.from({ length: 1200 }, (_, i) => i)].flatMap((element) =>
      letGo(held.take(element))
    )
    assert.strictEqual(out[0], secret.slice(0, 20))
    const last = [held.take(secret.slice(20)), held.end()]
    assert.isTrue(last.some(({ _tag }) => _tag === "Blocked"))
  })

  it("POLICY-8 where here is only observed what would block is redacted in every shape", () => {
    for (const [name, { of, text }] of Object.entries(shapes)) {
      const elements = cut(`the key: ${secret} ok`, 9).map(of)
      const said = through(elements, true).map(text).join("")
      assert.strictEqual(said, "the key: [api_key:64] ok", name)
    }
  })

  it("POLICY-8 where here is only observed what cannot be read goes on", () => {
    const element = { answer: Promise.resolve(secret) }
    assert.strictEqual(through([element], true)[0], element)
  })
})

describe("elements that cannot be read", () => {
  class Closed {
    readonly #text: string
    constructor(text: string) {
      this.#text = text
    }
    get text(): string {
      return this.#text
    }
    with(text: string): Closed {
      return new Closed(text)
    }
  }

  const drained = (element: unknown, options: GovernedStreamOptions = {}) =>
    Stream.make(element).pipe(governedStream("chat", model, options), Stream.runDrain)

  it.effect("DLP-2 end the stream, say what to do, and are told as a violation", () =>
    Effect.gen(function* () {
      yield* ready()
      const elements = {
        Promise: Promise.resolve("x"),
        Blob: new Blob(["x"]),
        Proxy: new Proxy({ text: "x" }, {}),
        "what comes only as it is used": { next: () => ({ value: "x" }) },
        "more than can be read": Array.from({ length: 100_001 }, () => ""),
        "text that cannot be replaced": new Closed(email)
      }
      for (const [what, element] of Object.entries(elements)) {
        const error = yield* Effect.flip(drained(element))
        assert.instanceOf(error, PolicyViolation)
        assert.deepInclude(error.denial, { step: "dlp", seen: what })
        assert.include(error.message, "`scan: { get, set }`")
      }
      assert.include(yield* told, "policy_violation")
      yield* drained(Promise.resolve("x"), { scan: false })
    }).pipe(fresh())
  )

  it("GOVERN-4 whose text is told of another kind do not compile", () => {
    const scan = {
      get: (element: { readonly said: string }) => element.said,
      set: (_: { readonly said: string }, said: string) => ({ said })
    }
    const governing = governedStream("chat", model, { scan })
    assert.isTrue(Stream.isStream(governing(Stream.make({ said: "hello" }))))
    // @ts-expect-error: these elements have no `said`.
    assert.isTrue(Stream.isStream(governing(Stream.make("hello"))))
  })

  it.effect("GOVERN-4 are scanned where the program says what their text is", () =>
    Effect.gen(function* () {
      yield* ready()
      const scan = {
        get: (element: Closed) => element.text,
        set: (element: Closed, text: string) => element.with(text)
      }
      const run = (...texts: ReadonlyArray<string>) =>
        Stream.fromIterable(texts.map((text) => new Closed(text))).pipe(
          governedStream("chat", model, { scan }),
          Stream.runCollect
        )
      const out = yield* run("write to ", email.slice(0, 8), `${email.slice(8)} today`)
      assert.match(out.map(({ text }) => text).join("|"), /^write to \|\[email:\w{8}\]\| today$/)
      const error = yield* Effect.flip(run("the key: ", secret.slice(0, 9), secret.slice(9)))
      assert.instanceOf(error, PolicyViolation)
    }).pipe(fresh())
  )
})
