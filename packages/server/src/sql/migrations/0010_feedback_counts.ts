/**
 * Feedback that counts and feedback that does not are heard apart: what an agent's key brings takes no user's place.
 * Whose key brought what was there before is not known; it stays as what was heard.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const feedbackCounts = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE feedback ADD COLUMN counts boolean NOT NULL DEFAULT true`
  yield* sql`
    ALTER TABLE feedback DROP CONSTRAINT feedback_once,
      ADD CONSTRAINT feedback_once UNIQUE (organization_id, user_id, response_id, counts)`
})
