/** Which names are public, and which of them the check refuses. */
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { checkDocumented, publicEntries, publicNames } from "../Documented.ts"
import { parse, readSources } from "../Sources.ts"

const root = join(import.meta.dirname, "fixtures/surface")
const sources = readSources(root)
const entries = publicEntries(root)

describe("the public surface", () => {
  it("begins at the entries of the packages that are published", () => {
    assert.deepStrictEqual(entries, ["packages/words/src/index.ts", "packages/words/src/more.ts"])
  })

  it("is each name once, through exports, namespaces and imports, without what is hidden or of others", () => {
    assert.deepStrictEqual(
      publicNames(sources, entries).map(({ name }) => name),
      [
        ...["first", "documented", "bare", "Schema", "overloaded", "Bare", "Colour"],
        ...["Space.Fine", "Space.Bare", "Space.Deep", "Shape", "renamed"],
        ...["SomeOptions", "Value", "Named", "Written", "Plain"],
        ...["kept", "local", "Own.own"]
      ]
    )
  })

  it("has names and members without a doc comment, which are refused where they are declared", () => {
    assert.deepStrictEqual(
      checkDocumented(sources, entries).map(
        ({ line, message, path }) =>
          `${path.replace("packages/words/src/", "")}:${line} ${message.split(" is public")[0]}`
      ),
      [
        "All.ts:2 `first`",
        "All.ts:7 `bare`",
        "All.ts:23 `Bare`",
        "All.ts:24 `Bare.inner`",
        "All.ts:26 `Colour`",
        "Space.ts:5 `Space.Bare`",
        "Deep.ts:4 `Space.Deep`",
        "Some.ts:4 `Shape`",
        "Some.ts:5 `renamed`",
        "Members.ts:8 `SomeOptions.bare`",
        "Members.ts:17 `Named.named`",
        "Members.ts:29 `Written.written`",
        "Members.ts:32 `Written.layer`",
        "Members.ts:43 `Plain.method`",
        "Kept.ts:4 `kept`",
        "more.ts:5 `local`",
        "Own.ts:4 `Own.own`"
      ]
    )
  })

  it("is refused when an entry exports from a module that is not there", () => {
    const entry = parse("packages/a/src/index.ts", 'export * from "./Gone.ts"')
    assert.throws(() => publicNames([entry], [entry.path]), /`packages\/a\/src\/Gone.ts` is exported from/)
  })
})
