/**
 * IBANs and telephone numbers: looked for only where a configuration asks for them.
 */
import type { Report } from "./Report.ts"
import type { View } from "./View.ts"

const IBAN = /(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?(?![A-Za-z0-9])/g
const PHONE =
  /(?<![\w.+/-])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){2,4}|\(?[2-9]\d{2}\)?[ .-][2-9]\d{2}[ .-]\d{4}|0\d{2,4}[ /-]\d{3,4}[ -]?\d{3,4})(?![\w-])/g

/** Lengths of IBANs by country, as `country + two digits`. */
const LENGTHS =
  "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BR29CH21CR22CY28CZ24DE22DK18DO28EE20EG29ES24FI18FO18FR27GB22GE22GI23GL18GR27GT28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LI21LT20LU20LV21MC27MD24ME22MK19MR27MT31MU30NL18NO15PK24PL28PS29PT25QA29RO24RS22SA24SE24SI19SK24SM27TN24TR26UA29VA22VG24XK20"

/** Whether the country's length and the remainder by 97 are right. */
const isIban = (value: string): boolean => {
  const at = LENGTHS.indexOf(value.slice(0, 2))
  if (at < 0 || at % 4 !== 0 || Number(LENGTHS.slice(at + 2, at + 4)) !== value.length) return false
  let rest = 0
  for (const character of value.slice(4) + value.slice(0, 4)) {
    const digit = Number.parseInt(character, 36)
    rest = (rest * (digit > 9 ? 100 : 10) + digit) % 97
  }
  return rest === 1
}

/** Reports IBANs. */
export const readIbans = (view: View, report: Report): void => {
  for (const { 0: text, index } of view.text.matchAll(IBAN)) {
    const value = text.replace(/[ -]/g, "")
    for (let cut = value.length; cut >= 15; cut--) {
      if (!isIban(value.slice(0, cut))) continue
      report.add(view, "iban", index, index + text.length, value.slice(0, cut))
      break
    }
  }
}

/** Reports telephone numbers. */
export const readPhones = (view: View, report: Report): void => {
  for (const { 0: text, index } of view.text.matchAll(PHONE)) {
    const digits = text.replace(/\D/g, "")
    if (digits.length >= 9 && digits.length <= 15)
      report.add(view, "phone", index, index + text.length, digits)
  }
}
