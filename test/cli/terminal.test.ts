import { describe, expect, it } from 'vitest'
import { escapeControls, escapeLine, print, printJson, say } from '../../src/cli/terminal.ts'
import { startProgress } from '../../src/cli/progress.ts'
import { PassThrough } from 'node:stream'

function output(isTTY: boolean): { text: string; isTTY: boolean; write(text: string): void } {
  return {
    text: '',
    isTTY,
    write(text) {
      this.text += text
    },
  }
}

// Clears the screen, moves the cursor, rings, changes the title, deletes, and turns the reading order around.
const HOSTILE = '\u001b[2J\u001b[H\u0007\u001b]0;title\u0007\u007f\u009b31m\u202eevil\r'

describe('what is written to a terminal', () => {
  it('has no control characters but tabs and newlines', () => {
    expect(escapeControls(`a\tb\n${HOSTILE}`)).toBe('a\tb\n\\u001b[2J\\u001b[H\\u0007\\u001b]0;title\\u0007\\u007f\\u009b31m\\u202eevil\\u000d')
    expect(escapeControls('Zoë 😀 é')).toBe('Zoë 😀 é')
    expect(escapeLine('two\nlines\there')).toBe('two\\nlines\\there')
    expect(escapeLine('x'.repeat(5_000)).length).toBeLessThan(2_100)
  })

  it('is escaped there, and left as it is in a file or a pipe', () => {
    const [terminal, pipe] = [output(true), output(false)]
    print(HOSTILE, terminal)
    print(HOSTILE, pipe)
    expect(terminal.text).toBe(`${escapeControls(HOSTILE)}\n`)
    expect(pipe.text).toBe(`${HOSTILE}\n`)
  })

  it('is indented where it is JSON, and no less escaped', () => {
    const [terminal, pipe] = [output(true), output(false)]
    const json = '{"a":["\u009b"]}'
    printJson(json, terminal)
    printJson(json, pipe)
    expect(terminal.text).toBe('{\n  "a": [\n    "\\u009b"\n  ]\n}\n')
    expect(pipe.text).toBe(`${json}\n`)
  })

  it('is escaped on stderr in any case', () => {
    const pipe = output(false)
    say(`error: ${HOSTILE}`, pipe)
    expect(pipe.text.split('').filter((character) => character < ' ')).toEqual(['\n'])
  })
})

describe('progress', () => {
  it('is a line now and then where there is no terminal', () => {
    let now = 0
    let text = ''
    const pipe = Object.assign(new PassThrough(), { isTTY: false })
    pipe.on('data', (chunk: Buffer) => (text += chunk.toString()))
    {
      using progress = startProgress('importing x', 'operations', null, { output: pipe, now: () => now, lineMs: 1_000 })
      for (now = 0; now <= 2_500; now += 100) progress.update(now / 10)
      progress.update(300, 500)
    }
    expect(text).toBe('importing x: 100 operations, 100/s\nimporting x: 200 operations, 100/s\n')
  })

  it('is a bar on a terminal, with its rate', () => {
    let text = ''
    const terminal = Object.assign(new PassThrough(), { isTTY: true, cursorTo: () => true, clearLine: () => true, moveCursor: () => true, columns: 120 })
    terminal.on('data', (chunk: Buffer) => (text += chunk.toString()))
    {
      let now = 0
      using progress = startProgress('checking', 'entries', 0, { output: terminal, now: () => now })
      now = 2_000
      progress.update(100, 400)
    }
    expect(text).toContain('25% 100/400 entries, 50/s')
  })
})
