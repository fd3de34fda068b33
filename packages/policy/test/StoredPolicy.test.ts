import { PolicySet, StoredPolicy } from "@agion/policy"
import { assert, describe, it } from "@effect/vitest"

const stored: StoredPolicy.Stored = {
  id: 7,
  name: "No drops",
  version: 3,
  priority: 10,
  type: "access",
  enforcement: null,
  enforcementLevel: "soft",
  scope: { agents: ["bot-*"], resourceTypes: null },
  status: "active",
  policyLanguage: "cel",
  policyExpr: '!request.content.contains("DROP")',
  actions: null,
  description: "Tables are not dropped by agents."
}

describe("a stored policy", () => {
  it("keeps what a set reads, and nulls become absent", () => {
    const none = undefined
    assert.deepStrictEqual(StoredPolicy.toSetPolicy(stored), {
      id: 7,
      name: "No drops",
      version: 3,
      priority: 10,
      type: "access",
      enforcement: none,
      enforcementLevel: "soft",
      scope: { agents: ["bot-*"], actions: none, resourceTypes: none, resourceIds: none, tags: none },
      status: "active",
      expr: '!request.content.contains("DROP")',
      actions: none,
      message: "Tables are not dropped by agents.",
      description: "Tables are not dropped by agents."
    })
  })

  it("words a denial by its description, and by its name where there is none", () => {
    const said = (description: string) => {
      const made = PolicySet.compileSync(StoredPolicy.toSetPolicies([{ ...stored, scope: {}, description }]))
      if (!made.ok) throw new Error(made.errors[0]?.message)
      return made.set.evaluate({ request: { content: "DROP TABLE" } }).matched.map(({ message }) => message)
    }
    assert.deepStrictEqual(said(stored.description), ["Tables are not dropped by agents."])
    assert.deepStrictEqual(said(""), ["No drops"])
  })

  it("is left out where no engine evaluates it", () => {
    const left = [
      { ...stored, policyExpr: null },
      { ...stored, policyLanguage: "json" as const }
    ]
    assert.deepStrictEqual(StoredPolicy.toSetPolicies(left), [])
  })
})
