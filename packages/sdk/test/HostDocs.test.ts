/** Runs the snippets of docs/sdk.md about many agents in one process, on a platform in memory. */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as EffectModule from "effect"
import { type Context, Effect, Layer, ManagedRuntime } from "effect"
import * as Sdk from "../src/index.ts"
import { AgentHost, type HostOptions } from "../src/index.ts"
import { Agion } from "../src/promise/index.ts"
import { AgionTest, TestPlatform, testUuid } from "../src/testing/index.ts"

const page = readFileSync(new URL("../../../docs/sdk.md", import.meta.url), "utf8")
const [, rest = ""] = page.split("## Many agents in one process\n")
const [chapter = ""] = rest.split("\n## ")
const snippets = [...chapter.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code = ""]) => code)

/** Imports are what the test gives, and statements that are promises are awaited. */
const program = (code: string): string =>
  code
    .replace(/^import (\{[^}]*\}) from ("[^"]*")$/gm, "const $1 = modules[$2]")
    .replace(/^(?=\w+(\(|\.pipe\())/gm, "await ")

type Run = (modules: object, modelId: string, prompt: string, askModel: unknown) => Promise<void>

const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor as new (...text: string[]) => Run

/** `A` with another value under one name. */
const withOther = <A extends object>(target: A, name: string, value: unknown): A =>
  new Proxy(target, { get: (of, key) => (key === name ? value : Reflect.get(of, key)) })

/** What snippets import, their hosts over connections that are there. */
const modulesOver = (
  connections: Context.Context<Layer.Success<ReturnType<typeof AgionTest.connections>>>
) => {
  const live = (options: HostOptions) =>
    AgentHost.layerOver({ ...options, directory: false }).pipe(
      Layer.provide(Layer.succeedContext(connections))
    )
  const host = (options: HostOptions) => Agion.hostOver(live(options))
  return {
    effect: EffectModule,
    "@agion/sdk": { ...Sdk, AgentHost: withOther(AgentHost, "layer", live) },
    "@agion/sdk/promise": { Agion: withOther(Agion, "host", host) }
  }
}

describe("docs/sdk.md, many agents in one process", () => {
  it("every snippet makes a governed call of an agent of its own", async () => {
    assert.lengthOf(snippets, 3)
    const runtime = ManagedRuntime.make(AgionTest.connections())
    const connections = await runtime.context()
    const platform = EffectModule.Context.get(connections, TestPlatform)
    const model = testUuid(1)
    platform.resource({ id: model })
    const asked: Array<string> = []
    for (const [i, code] of snippets.entries()) {
      platform.grant(`agent-${i + 1}`, model)
      const ask = (prompt: string) => {
        asked.push(prompt)
        return code.includes("/promise") ? Promise.resolve("four") : Effect.succeed("four")
      }
      const run = new AsyncFunction("modules", "modelId", "prompt", "askModel", program(code))
      await run(modulesOver(connections), model, "two and two", ask)
    }
    assert.deepStrictEqual(asked, ["two and two", "two and two", "two and two"])
    const succeeded = platform.events.filter((event) => event["event_type"] === "task_completed")
    assert.deepStrictEqual(
      succeeded.map((event) => event["agent_id"]),
      ["agent-1", "agent-2", "agent-3"]
    )
    await runtime.dispose()
  })
})
