import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { DirectoryError, type ErrorCode } from '../../../src/core/errors.ts'
import { ADMISSION_LIMITS } from '../../../src/core/plc/admission.ts'
import { RECOVERY_WINDOW_MS } from '../../../src/core/plc/chain.ts'
import { DIFFERENCES } from '../../support/differential.ts'
import { plcExamples } from '../../support/plc-examples.ts'

const root = join(import.meta.dirname, '../../..')
const spec = readFileSync(join(root, 'spec/did-plc.md'), 'utf8')

it('states every limit of admission as the code has it', () => {
  const rows = [...spec.matchAll(/^\| `(\w+)` \| (\d+) \|/gm)].map(([, name, limit]) => [name, Number(limit)])
  expect(Object.fromEntries(rows)).toEqual(ADMISSION_LIMITS)
  expect(rows).toHaveLength(Object.keys(ADMISSION_LIMITS).length)
})

it('states the message of every limit as the code has it', () => {
  const codes: ErrorCode[] = [
    'OPERATION_TOO_LARGE',
    'TOO_MANY_ALSO_KNOWN_AS',
    'ALSO_KNOWN_AS_TOO_LONG',
    'DUPLICATE_ALSO_KNOWN_AS',
    'TOO_MANY_ROTATION_KEYS',
    'INVALID_ROTATION_KEY',
    'TOO_MANY_SERVICES',
    'SERVICE_ID_TOO_LONG',
    'SERVICE_TYPE_TOO_LONG',
    'SERVICE_ENDPOINT_TOO_LONG',
    'TOO_MANY_VERIFICATION_METHODS',
    'VERIFICATION_METHOD_ID_TOO_LONG',
    'VERIFICATION_METHOD_KEY_TOO_LONG',
    'INVALID_VERIFICATION_METHOD_KEY',
  ]
  const limits = section('Limits')
  const messages = [...limits.matchAll(/\| `([^`]+)` \|$/gm)].map(([, message]) => message)
  expect(messages).toHaveLength(codes.length)
  for (const [i, code] of codes.entries()) expect([messageOf(code), messageOf(code, '<x>')]).toContain(messages[i])
  expect(section('Rates')).toContain(`\`${messageOf('RATE_LIMITED', 'hour (max 10)')}\``)
})

it('states the recovery window as the code has it', () => {
  expect(section('Recovery')).toContain(`72 hours, ${RECOVERY_WINDOW_MS.toLocaleString('en-US')} milliseconds`)
})

it.each([...plcExamples()])('shows the example "%s" as the code makes it', (_, example) => {
  expect(spec).toContain(example)
})

it('names every difference from the published library that the tests allow', () => {
  const points = [...section('Differences').matchAll(/^\| (.+?) \|/gm)].map(([, point]) => point)
  expect(points).toEqual(expect.arrayContaining(Object.keys(DIFFERENCES)))
})

it('has a heading for every place that it or the source refers to', () => {
  const slugs = [...spec.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading.toLowerCase().replace(/[^\w -]/g, '').replaceAll(' ', '-'))
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
  const texts = sources.map((file) => readFileSync(join(root, 'src', file), 'utf8'))
  const anchors = texts.flatMap((text) => [...text.matchAll(/spec\/did-plc\.md#([\w-]+)/g)].map(([, anchor]) => anchor))
  const own = [...spec.matchAll(/\]\(#([\w-]+)\)/g)].map(([, anchor]) => anchor)
  expect(anchors.length).toBeGreaterThan(20)
  expect([...new Set([...anchors, ...own])].filter((anchor) => !slugs.includes(anchor ?? ''))).toEqual([])
})

it('names only verdicts that exist', () => {
  const codes = [...new Set([...spec.matchAll(/`([A-Z]+(?:_[A-Z]+)*)`/g)].map(([, code]) => code))].filter((code) => code !== 'OK')
  const source = readFileSync(join(root, 'src/core/errors.ts'), 'utf8')
  expect(codes.length).toBeGreaterThan(10)
  expect(codes.filter((code) => !source.includes(`  ${code}: `))).toEqual([])
})

/** The text of a section, without those after it. */
function section(heading: string): string {
  const [, text = ''] = spec.split(new RegExp(`^#+ ${heading}$`, 'm'))
  return text.split(/^#+ /m)[0] ?? ''
}

function messageOf(code: ErrorCode, detail?: string): string {
  return new DirectoryError(code, detail).message
}
