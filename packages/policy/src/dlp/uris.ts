/**
 * Connection strings of databases and brokers that carry a password.
 */
import { withoutGlue, withoutSeparator } from "./Join.ts"
import type { Report } from "./Report.ts"
import type { View } from "./View.ts"

const SCHEMES =
  "postgres(?:ql)?|pgsql|mysqlx?|mariadb|mongodb|rediss?|valkeys?|amqps?|clickhouse|mssql|sqlserver|oracle|cockroach(?:db)?|kafka|nats|mqtts?|couchdb|couchbases?|cassandra|neo4j|bolt|memcached|rabbitmq|stomp|influxdb|elasticsearch|snowflake|redshift|vertica|db2|libsql|surrealdb|ldaps?|s?ftp|tds|jtds:sqlserver|hive2|presto|trino"
const PLAIN = "postgres(?:ql)?|mysql|mariadb|mongodb|redis|amqp"
const SCHEME = new RegExp(
  `(?:(?:^|[^A-Za-z0-9+])((?:jdbc:)?(?:${SCHEMES})(?:\\+[a-z0-9_+]{1,24})?)|((?:${PLAIN})(?:\\+[a-z0-9_+]{1,24})?))$`,
  "i"
)
const USERINFO = /([^\s:@/"'<>`?#]{0,128}):([^\s@/"'<>`]{1,256})@([^\s"'<>`]{1,400})/y
/** A password with a slash or a quote in it; what begins with a port is none. */
const ODD_USERINFO = /([^\s:@/"'<>`?#]{0,128}):((?!\d{1,5}\/)[^\s@"<>`]{1,128})@([^\s"'<>`]{1,400})/y
const ORACLE = /jdbc:oracle:(?:thin|oci8?):([^\s/@"']{1,64})\/([^\s@"']{1,128})@[^\s"'<>`]{2,200}/iy
const QUERY = /^[^\s"'<>`]{1,300}?[?&;](?:password|passwd|pwd|pass)=([^\s&;"'<>`]{3,128})/i
const WHOLE = new RegExp(
  `^(?:jdbc:)?(?:${SCHEMES})(?:\\+[a-z0-9_+]{1,24})?://([^\\s:@/"'<>\`?#]{0,128}):([^\\s@/"'<>\`]{1,256})@[^\\s@"'<>\`]{2,}`,
  "i"
)

/** Letters with which a scheme begins, lower case: what a scheme with separators in it is noticed by. */
export const schemeLetters: ReadonlyArray<string> = [
  "postgres",
  "mysql",
  "mariadb",
  "mongodb",
  "redis",
  "amqp",
  "clickhouse",
  "mssql",
  "sqlserver",
  "rabbitmq",
  "valkey"
]

const NO_PASSWORD =
  /^(?:\$.*|%[sdv({].*|\{.*|<.*|\[.*|#\{.*|:?(?:[a-z]{0,12}[-_]?)(?:passw(?:or[dt])?|passwd|pass|pwd|pswd|pw|secret|changeme|change_me|placeholder|redacted|example|token|key|credentials?)[a-z]{0,3}[-_]?\d{0,4}!?|[x*.•_-]+|user(?:name)?|root|admin|guest|test(?:ing)?|foo|bar|baz|demo|dev|local|postgres|postgresql|mysql|mongo(?:db)?|redis|rabbitmq|null|undefined|none|empty|\d{1,6}|a{3,}|abc\d*|qwerty|p|pw|u)$/

const ONE_CASE = /^(?:[^A-Z]*|[^a-z]*|[A-Z][^A-Z]*)$/

/** Whether `password` is one, and no variable, placeholder or example. */
export const isPassword = (password: string, user: string): boolean =>
  password.length > 2 &&
  password !== user &&
  !/\\[wdsbWDS]|\.[*+]/.test(password) &&
  !NO_PASSWORD.test(ONE_CASE.test(password) ? password.toLowerCase() : password) &&
  !/\$\{|\{\{|\*{3}|\.{3}|x{4}|example|placeholder|redacted|your[-_ ]|%\w*%$/i.test(password)

const trimmed = (text: string, from: number, to: number): number => {
  let end = to
  while (end > from && /[.,;:!?)\]}\\]/.test(text.charAt(end - 1))) end--
  return end
}

/** Looks at the `://` at `at`: is it a connection string, and does it carry a password? */
export const readUri = (view: View, report: Report, at: number): void => {
  const { text } = view
  const known = SCHEME.exec(text.slice(Math.max(0, at - 40), at))
  const scheme = known?.[1] ?? known?.[2]
  if (scheme === undefined) return
  const start = at - scheme.length
  USERINFO.lastIndex = ODD_USERINFO.lastIndex = at + 3
  const match = USERINFO.exec(text) ?? (text.charCodeAt(start - 1) === 39 ? null : ODD_USERINFO.exec(text))
  if (match !== null) {
    const [whole, user = "", password = "", rest = ""] = match
    if (!isPassword(password, user)) return
    const end = at + 3 + whole.length
    report.add(view, "db-uri", start, trimmed(text, end - rest.length + 1, end), text.slice(start, end))
    return
  }
  const tail = text.slice(at + 3, at + 503)
  const query = QUERY.exec(tail)
  if (query !== null) {
    if (!isPassword(query[1] ?? "", "")) return
    const end = at + 3 + (/^[^\s"'<>`]*/.exec(tail)?.[0].length ?? 0)
    report.add(view, "db-uri", start, trimmed(text, start + 1, end), text.slice(start, end))
    return
  }
  readBrokenUri(view, report, start)
}

/** `jdbc:oracle:thin:user/password@…` at `at`. */
export const readOracle = (view: View, report: Report, at: number): void => {
  const { text } = view
  ORACLE.lastIndex = at
  const match = ORACLE.exec(text)
  if (match === null || !isPassword(match[2] ?? "", match[1] ?? "")) return
  const end = trimmed(text, at, at + match[0].length)
  report.add(view, "db-uri", at, end, text.slice(at, end))
}

/** A connection string whose characters have something between them; its scheme begins at `start`. */
export const readBrokenUri = (view: View, report: Report, start: number): void => {
  const { text } = view
  if (start < report.brokenFrom || !text.slice(start, start + 640).includes("@")) return
  for (const join of [withoutGlue, withoutSeparator]) {
    const joined = join(text, start, 600)
    report.brokenFrom = Math.max(report.brokenFrom, start + ((joined.end - start) >> 3))
    if (joined.pieces < 2) continue
    const match = WHOLE.exec(joined.text)
    if (match === null || !isPassword(match[2] ?? "", match[1] ?? "")) continue
    report.add(view, "db-uri", start, join(text, start, trimmed(match[0], 1, match[0].length)).end, match[0])
    return
  }
}
