// What spec/http.md says is what the code does: its tables, and its examples byte for byte.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DirectoryError, type ErrorCode } from '../../src/core/errors.ts'
import { CACHE_CONTROL } from '../../src/http/send.ts'
import { TYPES } from '../../src/http/answer.ts'
import { REFUSALS, STATUS_OF_VERDICT } from '../../src/http/error-response.ts'
import { LIMITS } from '../../src/http/limits.ts'
import { ROUTES } from '../../src/http/router.ts'
import type { TestCounter } from '../support/counter.ts'
import { openExampleLog } from '../support/example-log.ts'

const SPEC = readFileSync(join(import.meta.dirname, '../../spec/http.md'), 'utf8')

/** The tables that have this header row, in order: their cells, without backquotes. */
function tablesOf(header: string): string[][][] {
  return SPEC.split(`\n${header}\n`).slice(1).map((text) => {
    const lines = text.split('\n')
    const rows = lines.slice(1, lines.findIndex((line) => !line.startsWith('|')))
    return rows.map((row) => row.slice(2, -2).split(' | ').map((cell) => cell.replaceAll('`', '')))
  })
}

describe('the specification', () => {
  it('lists every endpoint in the order of the table', () => {
    const rows = ROUTES.map(({ method, path, cache, gzip, summary }) => [method, path, cache, gzip ? 'yes' : 'no', summary])
    expect(tablesOf('| method | path | cache | gzip | what |')).toEqual([rows])
  })

  it('gives the limits as they are', () => {
    const [rows] = tablesOf('| limit | value | what |')
    expect(rows?.map(([name, value]) => [name, Number(value)])).toEqual(Object.entries(LIMITS))
  })

  it('gives every error its status and message', () => {
    const [verdicts, refusals] = tablesOf('| code | status | message |')
    const expected = Object.entries(STATUS_OF_VERDICT).filter(([, status]) => status !== null)
    expect(verdicts).toEqual(expected.map(([code, status]) => [code, String(status), new DirectoryError(code as ErrorCode).message.trim()]))
    expect(refusals).toEqual(Object.entries(REFUSALS).map(([code, [status, message]]) => [code, String(status), message]))
  })

  it('gives the cache policies and content types as they are sent', () => {
    const [policies] = tablesOf('| cache | `Cache-Control` of a 200 | why |')
    expect(policies?.map(([name, value]) => [name, value])).toEqual(Object.entries(CACHE_CONTROL))
    const [types] = tablesOf('| body | `Content-Type` |')
    expect(types?.map(([, type]) => type)).toEqual(Object.values(TYPES))
  })
})

interface Example {
  readonly method: string
  readonly path: string
  readonly requestHeaders: Record<string, string>
  readonly requestBody: string
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
}

function readHeaders(lines: readonly string[]): Record<string, string> {
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]))
}

function readExample(block: string): Example {
  const at = block.indexOf('\n\nHTTP/1.1 ')
  const [requestHead = '', requestBody = ''] = block.slice(0, at).split('\n\n')
  const [requestLine = '', ...requestHeaders] = requestHead.split('\n')
  const answer = block.slice(at + 2)
  const [statusLine = '', ...headers] = answer.slice(0, answer.indexOf('\n\n')).split('\n')
  const [method = '', path = ''] = requestLine.split(' ')
  return {
    method, path, requestHeaders: readHeaders(requestHeaders), requestBody,
    status: Number(statusLine.split(' ')[1]), headers: readHeaders(headers), body: answer.slice(answer.indexOf('\n\n') + 2),
  }
}

const EXAMPLES = [...SPEC.matchAll(/```http\n([^]*?)\n```/g)].map(([, block = '']) => readExample(block))

describe('the examples of the specification', () => {
  let counter: TestCounter
  beforeAll(async () => {
    counter = await openExampleLog()
  })
  afterAll(() => counter[Symbol.asyncDispose]())

  it('are there', () => {
    expect(EXAMPLES.length).toBeGreaterThanOrEqual(13)
  })

  it.each(EXAMPLES)('$method $path', async ({ method, path, requestHeaders, requestBody, status, headers, body }) => {
    const reply = await counter.ask(path, { method, headers: requestHeaders, ...(requestBody === '' ? {} : { body: requestBody }) })
    expect(reply.status).toBe(status)
    for (const [name, value] of Object.entries(headers)) expect(reply.headers[name.toLowerCase()], name).toBe(value)
    expect(reply.text).toBe(body)
  })
})
