// The one form of time on the wire: `YYYY-MM-DDTHH:mm:ss.sssZ`, as milliseconds since 1970. spec/did-plc.md#timestamps

import { DirectoryError } from '../errors.ts'

/** A digit where there is a 0. */
const FORM = '0000-00-00T00:00:00.000Z'
const DAY_MS = 86_400_000
const FIRST_MS = -62_167_219_200_000 // 0000-01-01T00:00:00.000Z
const LAST_MS = 253_402_300_799_999 // 9999-12-31T23:59:59.999Z

/** Milliseconds since 1970-01-01T00:00:00Z of a 24-character timestamp. Throws MALFORMED_TIMESTAMP for any other form or a date that does not exist. */
export function parseTimestamp(text: string): number {
  const ms = text.length === FORM.length ? millisecondsOf(text) : null
  if (ms === null) throw new DirectoryError('MALFORMED_TIMESTAMP', text.slice(0, 40))
  return ms
}

// null for another form, and for a date or a time that does not exist.
function millisecondsOf(text: string): number | null {
  for (let i = 0; i < FORM.length; i++) {
    const unit = text.charCodeAt(i)
    const isDigit = unit >= 0x30 && unit <= 0x39
    if (FORM.charCodeAt(i) === 0x30 ? !isDigit : unit !== FORM.charCodeAt(i)) return null
  }
  const [year, month, day] = [digits(text, 0, 4), digits(text, 5, 2), digits(text, 8, 2)]
  const [hour, minute, second] = [digits(text, 11, 2), digits(text, 14, 2), digits(text, 17, 2)]
  if (hour > 23 || minute > 59 || second > 59) return null
  const days = daysFromCivil(year, month, day)
  const made = civilFromDays(days)
  if (made.year !== year || made.month !== month || made.day !== day) return null
  return days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000 + digits(text, 20, 3)
}

function digits(text: string, at: number, count: number): number {
  let value = 0
  for (let i = at; i < at + count; i++) value = value * 10 + text.charCodeAt(i) - 0x30
  return value
}

/** The timestamp of `ms` milliseconds since 1970. Throws MALFORMED_TIMESTAMP outside the years 0000 to 9999. */
export function formatTimestamp(ms: number): string {
  if (!Number.isInteger(ms) || ms < FIRST_MS || ms > LAST_MS) throw new DirectoryError('MALFORMED_TIMESTAMP', String(ms))
  const days = Math.floor(ms / DAY_MS)
  const rest = ms - days * DAY_MS
  const { year, month, day } = civilFromDays(days)
  const time = [Math.floor(rest / 3_600_000), Math.floor(rest / 60_000) % 60, Math.floor(rest / 1000) % 60]
  const clock = time.map((n) => pad(n, 2)).join(':')
  return `${pad(year, 4)}-${pad(month, 2)}-${pad(day, 2)}T${clock}.${pad(rest % 1000, 3)}Z`
}

// Days in the proleptic Gregorian calendar, with years that begin in March so that the leap day comes last.
function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear
  return era * 146_097 + dayOfEra - 719_468
}

function civilFromDays(days: number): { year: number; month: number; day: number } {
  const z = days + 719_468
  const era = Math.floor(z / 146_097)
  const dayOfEra = z - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  )
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1
  const month = monthFromMarch + (monthFromMarch < 10 ? 3 : -9)
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day }
}

function pad(n: number, width: number): string {
  return String(n).padStart(width, '0')
}
