import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { confirm, type Asked } from '../../src/cli/confirm.ts'

function terminal(isTTY: boolean): Asked & { input: PassThrough; shown: () => string } {
  const [input, output] = [Object.assign(new PassThrough(), { isTTY }), Object.assign(new PassThrough(), { isTTY })]
  let shown = ''
  output.on('data', (chunk: Buffer) => (shown += chunk.toString()))
  return { input, output, shown: () => shown }
}

describe('a confirmation', () => {
  it('is a yes at the terminal, and nothing else is', async () => {
    for (const [answer, confirmed] of [['yes\n', true], ['Y\n', true], ['no\n', false], ['\n', false], ['yes please\n', false]] as const) {
      const asked = terminal(true)
      const outcome = confirm('End it?\u001b[2J', false, asked).then(() => true, (error: unknown) => String(error))
      asked.input.write(answer)
      expect(await outcome, answer).toBe(confirmed ? true : 'RefusedError: not confirmed: nothing was submitted')
      expect(asked.shown()).toContain('End it?\\u001b[2J (yes/no) ')
    }
  })

  it('is refused where the terminal ends before an answer', async () => {
    const asked = terminal(true)
    const outcome = confirm('End it?', false, asked)
    asked.input.end()
    await expect(outcome).rejects.toThrow('not confirmed')
  })

  it('is given by --yes without a question, and needs it where there is no terminal', async () => {
    const asked = terminal(false)
    await confirm('End it?', true, asked)
    await expect(confirm('End it?', false, asked)).rejects.toThrow('--yes')
    expect(asked.shown()).toBe('')
  })
})
