import { connect } from "node:net"
import { Platform } from "@agion/testing"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { request, resource, unique } from "../suites/words.ts"

const path = "/api/v1/permissions/check"

const bytes = (body: string, headers = "") =>
  `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n${headers}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`

/** Writes the parts one after the other, each on its own way, and reads so many answers. */
const talk = (url: string, parts: ReadonlyArray<string>, count: number) =>
  Effect.promise(
    () =>
      new Promise<ReadonlyArray<string>>((resolve, reject) => {
        const { port } = new URL(url)
        const socket = connect({ host: "127.0.0.1", port: Number(port), noDelay: true })
        let text = ""
        socket.on("error", reject)
        socket.on("data", (chunk) => {
          text += chunk.toString("utf8")
          const answers = text.split(/(?=HTTP\/1\.1 )/)
          if (answers.length === count && /\}$/.test(text)) {
            socket.destroy()
            resolve(answers)
          }
        })
        const write = ([first, ...rest]: ReadonlyArray<string>): void => {
          if (first !== undefined) socket.write(first, () => setImmediate(() => write(rest)))
        }
        socket.on("connect", () => write(parts))
      })
  )

const bodyOf = (answer: string | undefined) =>
  JSON.parse((answer ?? "").slice((answer ?? "").indexOf("\r\n\r\n") + 4))

/** What two answers to the same question have in common. */
const essence = (answer: string | undefined) => {
  const { timestamp, metadata, ...rest } = bodyOf(answer)
  const { decision_id, ...facts } = metadata
  return { ...rest, facts, dated: typeof timestamp, named: typeof decision_id }
}

const granted = Effect.gen(function* () {
  const { url, post } = yield* Platform.Platform
  const organization_id = unique("early")
  const { id: resource_id } = yield* resource(organization_id, { trust_tier_required: 0 })
  const { id } = yield* request("agent", resource_id, { purpose: "to be asked" })
  yield* post(`/permissions/${id}/approve`, { approved_by: "operator" })
  const question = JSON.stringify({
    organization_id,
    actor_id: "agent",
    actor_type: "agent",
    resource_id,
    permission_type: "use",
    context: { note: "größer 🌍" }
  })
  const revoke = post(`/permissions/${id}/revoke`, { revoked_by: "operator", reason: "no longer needed" })
  return { url, question, revoke }
})

layer(Platform.layer(), { timeout: "60 seconds", excludeTestServices: true })(
  "a check that is answered before the router",
  (it) => {
    it.effect("says what the router says, with the epoch in its header", () =>
      Effect.gen(function* () {
        const { url, question } = yield* granted
        const trace = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
        const answers = yield* talk(url, [bytes(question), bytes(question), bytes(question, trace)], 3)
        const [, early, routed] = answers
        assert.deepStrictEqual(essence(early), essence(routed))
        assert.isTrue(essence(early).allowed)
        for (const answer of [early, routed]) {
          assert.match(answer ?? "", /^HTTP\/1\.1 200 OK\r\n/)
          assert.match(answer ?? "", /\r\nagion-epoch: \d+\r\n/i)
          assert.match(answer ?? "", /\r\ncontent-type: application\/json\r\n/i)
        }
      })
    )

    it.effect("is the router's while its body is on the way, and pipelined answers keep their order", () =>
      Effect.gen(function* () {
        const { url, question } = yield* granted
        const whole = bytes(question)
        const at = whole.length - 40
        const broken = question.replace('"agent"', "{")
        const answers = yield* talk(
          url,
          [whole.slice(0, at), `${whole.slice(at)}${bytes(question)}`, `${bytes(broken)}${whole}`],
          4
        )
        assert.deepStrictEqual(
          answers.map((answer) => answer.slice(9, 12)),
          ["200", "200", "400", "200"]
        )
        assert.deepStrictEqual(essence(answers[0]), essence(answers[1]))
        assert.match(bodyOf(answers[2]).message, /the body is not valid/)
      })
    )

    it.effect("holds a revocation at once (FRESH-1)", () =>
      Effect.gen(function* () {
        const { url, question, revoke } = yield* granted
        const [before] = yield* talk(url, [bytes(question)], 1)
        assert.isTrue(bodyOf(before).allowed)
        assert.strictEqual((yield* revoke).status, 200)
        const [after] = yield* talk(url, [bytes(question)], 1)
        assert.isFalse(bodyOf(after).allowed)
      })
    )
  }
)
