/** How a policy is written, tried and rolled out: the chapter between limits and revocation. */
import { PolicyFile, PolicySet } from "@agion/policy"
import { allowed, denied, dim, fact, step } from "./Paper.ts"
import { type Agent, eventually, resource, type Story } from "./Story.ts"

const typo = `
policies:
  - { name: Refunds, policy_expr: actor.trust_scor >= 60 || request.cost < 10.0 }
`
const file = `
policies:
  - { id: refunds, name: Refunds, policy_expr: request.cost < 10.0, scope: { actions: [refund] } }
  - { id: large, name: Large refunds, policy_expr: request.cost < 100.0, scope: { actions: [refund] } }
cases:
  - { name: a small one, input: { action: refund, request: { cost: 5 } }, expect: allow }
  - { name: a large one, input: { action: refund, request: { cost: 50 } }, expect: { decision: deny, reasons: [refunds] } }
`

const read = (text: string): PolicySet.PolicySet => {
  const checked = PolicyFile.check(text)
  if (!checked.ok) throw new Error(checked.errors[0]?.message)
  for (const { message, name, passed } of PolicyFile.test(checked.set, checked.file.cases)) {
    if (!passed) throw new Error(`${name}: ${message}`)
    fact(`case "${name}"`, allowed("passed"))
  }
  return checked.set
}

/** Checks, tests and looks at policies before anybody is governed by them. */
const tryOut = (): void => {
  const wrong = PolicyFile.check(typo)
  if (wrong.ok) throw new Error("the story went another way: a typo is refused")
  fact("a policy file with a typo", denied(`line ${wrong.errors[0]?.line}: ${wrong.errors[0]?.message}`))
  const set = read(file)
  for (const { kind, other, policy } of PolicySet.findings(set))
    fact("a finding", `${policy.name} is ${kind} by ${other?.name ?? "itself"}`)
  const looser = read(file.replaceAll("cost < 10.0", "cost < 40.0"))
  const recorded = [5, 20, 80].map((cost) => ({ action: "refund", request: { cost } }))
  const { flips } = PolicySet.replay(set, looser, recorded)
  const { changed } = PolicySet.diff(set, looser)
  fact("a looser limit changes", changed.map(({ fields, name }) => `${name}: ${fields.join()}`).join())
  for (const { after, before, index } of flips)
    fact(`and of three recorded refunds number ${index + 1}`, `${before} -> ${after}`)
  if (flips.length !== 1) throw new Error("the story went another way: one recorded refund is decided anew")
}

/** 6: policies are tried before they are rolled out; a denial is explained, a number redacted, a block observed. */
export const policies = async (story: Story, agent: Agent, observer: Agent, key: string): Promise<void> => {
  step(6, "Policies are tried, explained and observed")
  tryOut()
  const query = { action: "query", content: "DROP TABLE orders" }
  for (const { clauses, name, outcome } of (await agent.sdk.policies.explain(query)).policies)
    fact(`why "${name}" is ${outcome}`, clauses.map(({ saw }) => JSON.stringify(saw)).join())
  await agent.sdk.http((api) =>
    api.policies.create({
      payload: {
        name: "No numbers by mail",
        description: "Telephone numbers do not leave by mail.",
        type: "dlp",
        category: "privacy",
        priority: 5,
        enabled: true,
        policyLanguage: "cel",
        policyExpr: 'action == "mail"',
        enforcement: "allow",
        actions: { redact: ["phone"] },
        organizationId: story.organizationId
      }
    })
  )
  const mail = { action: "mail", content: "ring +44 20 7946 0958" }
  await eventually("the new policy", async () => {
    const { obligations } = await agent.sdk.policies.check(mail)
    return obligations.length > 0 ? obligations : undefined
  })
  const sent = await agent.sdk.governed(
    { ...mail, resource: resource(story, "acme-small") },
    async (call) => call.content
  )
  if (sent.includes("7946")) throw new Error("the story went another way: the number is redacted")
  fact("a policy redacts and the mail goes on as", `"${sent}"`)
  const observed = await observer.sdk.policies.check({ action: "chat", content: `my key is ${key}` })
  if (!observed.observed) throw new Error("the story went another way: the observer blocks nothing")
  fact("an agent that only observes", `${allowed(observed.content)} ${dim(observed.reasons.join())}`)
}
