/**
 * Ordinary lines that look like a finding and are none.
 */
import type { Line } from "./generate.mjs"
import { card, checksum, Dice, ssn } from "./variations.ts"

const HEX = "0123456789abcdef"
const DIGIT = "0123456789"
const LOWER = "abcdefghijklmnopqrstuvwxyz"
const STD64 = `${LOWER.toUpperCase()}${LOWER}${DIGIT}+/`

const uuid = (d: Dice): string => [8, 4, 4, 4, 12].map((n) => d.text(HEX, n)).join("-")

const luhnFails = (digits: string): string => {
  let sum = 0
  for (let i = 0; i < digits.length; i++) {
    const v = Number(digits.charAt(digits.length - 1 - i)) * (i % 2 === 1 ? 2 : 1)
    sum += v > 9 ? v - 9 : v
  }
  return sum % 10 === 0 ? `${digits.slice(0, -1)}${(Number(digits.slice(-1)) + 3) % 10}` : digits
}

const wrongSum = (body: string): string => (checksum(body) === "000000" ? "000001" : "000000")

const row = (d: Dice): string => ssn(d, d.pick([" ", "\t", "  "]))

/** Each makes one line. */
const makers: ReadonlyArray<(d: Dice) => string> = [
  (d) => `took ${ssn(d, " ")} ms`,
  (d) => ssn(d, d.pick([" ", "\t"])),
  (d) => Array.from({ length: 5 }, () => row(d)).join("\n"),
  (d) => `item ${ssn(d, "-")} in stock`,
  (d) => card(d, "\t").replace(/^3.*/, "1 2"),
  (d) => `${d.pick(["user_id", "orderId", '"account_id"'])}${d.pick(["=", ": "])}${card(d, "")}`,
  (d) => `${d.pick(["order number", "Ticket no.", "request id"])} ${card(d, "")} was closed`,
  (d) => `order ${luhnFails(`4${d.text(DIGIT, 15)}`)} shipped`,
  (d) => `order no. ${luhnFails(`5${d.text(DIGIT, 15)}`).replace(/(.{4})(?=.)/g, "$1 ")}`,
  (d) => `"traceId": "${uuid(d)}"`,
  (d) => `commit ${d.text(HEX, 40)}`,
  (d) => `etag: W/"${d.text(HEX, 32)}"`,
  (d) => `integrity="sha384-${d.mixed(STD64, 64)}"`,
  (d) => `url(data:font/woff2;base64,d09GMgABAAAAA${d.mixed(STD64, 160)})`,
  (d) => `{"createdAt":${1790000000000 + d.below(1e9)},"updatedAt":${1790000000000 + d.below(1e9)}}`,
  (d) => `IMEI 35${d.text(DIGIT, 13)}`,
  (d) => `ISBN 978-${d.below(9)}-${d.text(DIGIT, 3)}-${d.text(DIGIT, 5)}-${d.below(9)}`,
  (d) => `EAN 40${d.text(DIGIT, 11)}`,
  (d) => `<img srcset="icon@2x.png 2x, hero@3x.${d.pick(["webp", "png", "avif"])} 3x">`,
  (d) => `npm i lodash@4.17.${d.below(30)} @types/node@22.${d.below(9)}.0`,
  (d) => `git clone git@${d.pick(["github.com", "gitlab.example.com"])}:team/repo-${d.below(99)}.git`,
  (d) => `rsync -a deploy@build-${d.below(9)}.example.com:/srv/www/ .`,
  (d) =>
    `-----BEGIN CERTIFICATE-----\nMIID${d.mixed(STD64, 60)}\n${d.mixed(STD64, 64)}\n-----END CERTIFICATE-----`,
  (d) => `ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ${d.mixed(STD64, 200)} me@laptop`,
  () =>
    `a ${["sk", "based"].join("-")} prefix, a ri${["sk", "averse"].join("-")} plan and ta${["sk", "force"].join("-")} 7`,
  () => `class="${["sk", "cube", "grid", "fading", "circle", "animation"].join("-")}"`,
  (d) => `token: ${"g"}hp_${"x".repeat(36)} (${d.below(9)})`,
  (d) => {
    const body = d.mixed(STD64.slice(0, 62), 30)
    return `old ${"g"}hp_${body}${wrongSum(body)}`
  },
  () => `Authorization: Bearer ${"<"}YOUR_TOKEN>`,
  () => "password = os.getenv('DB_PASSWORD')",
  () => "const token = await getAccessTokenForUser(request)",
  () => "apiKey: process.env.OPENAI_API_KEY,",
  () => 'secretKeyRef: { name: "db-credentials", key: "password" }',
  () => "DATABASE_URL=postgres://postgres:postgres@localhost:5432/test",
  () => "postgres://user:password@localhost/db is the format",
  (d) => `redis://cache-${d.below(9)}.internal:6379/0`,
  (d) => `tel +49 30 ${d.text(DIGIT, 4)} ${d.text(DIGIT, 4)}, fax 202-555-${d.text(DIGIT, 4)}`,
  (d) => `account ${d.text(DIGIT, 9)}, routing ${d.text(DIGIT, 9)}`,
  (d) => `SSN 9${d.text(DIGIT, 2)}-45-${d.text(DIGIT, 4)} is not one`,
  (d) => `ssn 000-12-${d.text(DIGIT, 4)}, 666-12-${d.text(DIGIT, 4)}, 123-00-4567, 123-45-0000`,
  (d) => `version 10.${d.below(99)}.${d.below(9999)}, range 2020-2026, 12:30:45.${d.text(DIGIT, 6)}`,
  (d) => `[${Array.from({ length: 24 }, () => d.below(10)).join(", ")}]`,
  (d) => Array.from({ length: 6 }, () => 1000 + d.below(9000)).join(" "),
  (d) => Array.from({ length: 8 }, () => d.text(HEX, 4)).join(":"),
  (d) => `0.${d.text(DIGIT, 16)} ${d.below(9)}.${d.text(DIGIT, 15)}e-7`,
  (d) => `case ${d.text(DIGIT, 3)}-${d.text(DIGIT, 4)}-${d.text(DIGIT, 2)}`,
  (d) => `next_page_token: "${d.mixed(STD64.slice(0, 62), 40)}"`,
  (d) => `publicKey = "${d.mixed(STD64, 43)}="`,
  () => Buffer.from("an ordinary sentence, encoded for no reason").toString("base64"),
  () => encodeURIComponent("a query with spaces & signs: 100% of it?"),
  () => [..."nothing to see here"].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`).join(""),
  (d) => `Die Sitzung vom ${d.below(28) + 1}. November 2026 – Überblick über Größen, Maße & Fußnoten`,
  (d) => `Счёт № ${d.below(9999)} оплачен, спасибо за заказ на сумму ${d.below(9999)} руб.`,
  (d) => `電話 03-${d.text(DIGIT, 4)}-${d.text(DIGIT, 4)}、注文番号 ${d.text(DIGIT, 8)}`,
  (d) => `const re = /^\\d{3}-\\d{2}-\\d{4}$/ // ${d.below(99)}`,
  () => `if (text.includes("-----BEGIN") || text.includes("PRIVATE ${"KEY"}")) return deny()`,
  () => "meet me at noon at the office dot com boom museum",
  (d) => `@Component({ selector: 'app-${d.text(LOWER, 5)}' }) export class X {}`,
  (d) => `mac ${Array.from({ length: 6 }, () => d.text(HEX, 2)).join(":")} up`
]

/** Every maker `times` times. */
export const lookalikes = (seed: number, times = 3): ReadonlyArray<Line> => {
  const dice = new Dice(seed)
  return makers.flatMap((make, m) =>
    Array.from(
      { length: times },
      (_, i): Line => ({
        id: `l${m}.${i}`,
        text: make(dice),
        labels: [],
        class: "hard_negative",
        tags: [],
        source: "lookalikes"
      })
    )
  )
}
