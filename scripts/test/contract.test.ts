import { readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { page, routes } from "../ContractPage.ts"

/** The wire contract's routes, written by hand: `METHOD path status`, each beside the API's own declaration. */
const promised = `
POST /resources 201
GET /resources 200
GET /resources/{id} 200
GET /resources/{id}/children 200
PUT /resources/{id} 200
DELETE /resources/{id} 204
POST /permissions 201
POST /permissions/check 200
POST /permissions/{id}/usage 204
GET /permissions/active 200
GET /permissions 200
GET /permissions/{id} 200
POST /permissions/{id}/deny 200
PUT /permissions/{id} 200
POST /permissions/{id}/approve 200
POST /permissions/{id}/revoke 200
GET /policies 200
POST /policies 201
GET /policies/{id} 200
PUT /policies/{id} 200
DELETE /policies/{id} 204
POST /policies/{id}/evaluate 200
POST /trust/evaluate 200
GET /trust/score/{entity_id} 200
GET /trust/history/{entity_id} 200
POST /feedback/submit 200
GET /feedback/agent/{agent_id}/stats 200
GET /feedback/{id} 200
GET /feedback 200
POST /audit/events 201
GET /audit/events 200
GET /audit/compliance/{entity_id} 200
POST /agents/register 200
GET /agents/{agent_id} 200
PUT /agents/{agent_id} 200
DELETE /agents/{agent_id} 204
GET /agents 200
GET /prompts/by-location/{location} 200
POST /prompts 201
GET /prompts 200
PUT /prompts/{id} 200
DELETE /prompts/{id} 204
GET /models/by-purpose/{purpose} 200
POST /models 201
GET /models 200
PUT /models/{id} 200
DELETE /models/{id} 204
GET /resources/by-name/{name} 200
POST /resource-configs 201
GET /resource-configs 200
PUT /resource-configs/{id} 200
DELETE /resource-configs/{id} 204
GET /governance/policies 200
POST /permissions/check/batch 200
POST /permissions/reserve 200
POST /permissions/reservations/{id}/settle 204
POST /permissions/reservations/{id}/release 204
GET /policies/bundle 200
POST /events 200
GET /stream 200
POST /missions 201
GET /missions/{id} 200
POST /missions/{id}/join 200
POST /missions/{id}/leave 204
POST /missions/{id}/heartbeat 204
POST /missions/{id}/messages 201
GET /missions/{id}/messages 200
GET /missions/{id}/state 200
PUT /missions/{id}/state 200
GET /organizations/{id} 200
PUT /organizations/{id} 200
GET /usage/summary 200
GET /permissions/{id}/usage 200
POST /api-keys 201
GET /api-keys 200
DELETE /api-keys/{id} 204
POST /agents/{agent_id}/event-key/rotate 200
GET /signing-keys 200`
  .trim()
  .split("\n")

/** What a parameter is called matters to nobody on the wire. */
const nameless = (text: string): string => text.replace(/\{\w+\}/g, "{}")

const declared = routes().flatMap(({ method, path, success }) =>
  success.map((status) => nameless(`${method} ${path.replace(/^\/api\/v1/, "")} ${status}`))
)

describe("the contract's page", () => {
  for (const route of promised)
    it(`${route} is declared`, () => {
      assert.include(declared, nameless(route))
    })

  it("the health routes stand outside the prefix", () => {
    const paths = routes().map(({ path }) => path)
    assert.includeMembers(paths, ["/health", "/ready", "/openapi.json"])
  })

  it("nothing is declared that this list has not", () => {
    const known = new Set([...promised.map(nameless), "GET /policies/bundle 304"])
    const outside = new Set(["GET /health 200", "GET /ready 200", "GET /openapi.json 200"])
    assert.deepStrictEqual(
      declared.filter((route) => !known.has(route) && !outside.has(route)),
      []
    )
  })

  it("docs/contract.md is as `npm run docs` writes it", () => {
    assert.strictEqual(readFileSync(join(import.meta.dirname, "../../docs/contract.md"), "utf8"), page())
  })
})
