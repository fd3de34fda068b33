/** Checks the types of the snippets of docs/sdk.md and docs/telemetry.md, all in one run of the compiler. */
import { assert, describe, it } from "@effect/vitest"
import { snippetsOf, typeErrors } from "./Snippets.ts"

/** The names that snippets use and do not make. */
const declarations = `
interface Order { readonly amount: number }
interface Chunk { readonly text: string; readonly withText: (text: string) => Chunk }
const model: { readonly tokens: (prompt: string) => AsyncIterable<Chunk> }
const agion: import("@agion/sdk/promise").Agion
const options: import("@agion/sdk").AgionSdk.AgionOptions
const modelId: string
const notesId: string
const ordersId: string
function askModel(content: string, options: { readonly signal: AbortSignal }): Promise<string>
function askModel(content: string): import("effect").Effect.Effect<{ readonly tokens: number }>
const callModel: import("effect").Effect.Effect<string, import("@agion/sdk").Denied, import("@agion/sdk").Governance>
function pay(order: Order): Promise<string>
function lookUp(order: { readonly id: string }): Promise<string>
function refund(order: Order): Promise<string>
const MyEventTransport: import("effect").Layer.Layer<import("@agion/sdk").EventTransport>
const MyReportTransport: import("effect").Layer.Layer<import("@agion/sdk").ReportTransport>
const MyPushes: import("effect").Layer.Layer<import("@agion/sdk").Pushes>
const MyHttpClient: import("effect").Layer.Layer<import("effect/http").HttpClient.HttpClient>
`

/** Of these the names of a browser's. */
const shadows = "declare const prompt: string"

describe("the snippets of docs/sdk.md and docs/telemetry.md", () => {
  it("have the types that they need", async () => {
    const wrong = {
      page: "wrong.md",
      chapter: "",
      language: "ts",
      code: 'import { AgionSdk } from "@agion/sdk"\nAgionSdk.layer({ ...options, agentld: "agent-1" })\n',
      line: 7
    }
    const typed = [...snippetsOf("sdk.md"), ...snippetsOf("telemetry.md")].filter(({ language }) =>
      language.startsWith("ts")
    )
    const said = (await typeErrors([...typed, wrong], { declarations, shadows }))
      .split("\n")
      .filter((line) => line !== "")
    const isAboutWrong = (line: string) => line.startsWith("wrong.md-7.ts(9,")
    assert.deepStrictEqual(
      said.filter((line) => !isAboutWrong(line)),
      []
    )
    assert.lengthOf(said.filter(isAboutWrong), 1)
  })
})
