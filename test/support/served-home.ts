// A home in which `stele serve` runs, and other commands that talk to it.

import { newHome, type Ended, type Home, type Started } from './program.ts'

/** The directory, and commands that know its address. */
export interface ServedHome extends Disposable {
  readonly home: Home
  readonly serving: Started
  readonly url: string
  /** Runs a command to its end. */
  readonly stele: (...args: readonly string[]) => Promise<Ended>
  /** What a command says on stdout, without the last line's end. Throws where it does not end with 0. */
  readonly done: (...args: readonly string[]) => Promise<string>
}

/** Starts a directory on the folder `data` of a new home. Throws where its first line is not its address. */
export async function serveHome(): Promise<ServedHome> {
  const home = newHome()
  const serving = home.start(['serve', '--port', '0', '--data', 'data', '--checkpoint-interval', '50ms'])
  const line = await serving.line
  const [, url = ''] = /^stele listening on (http:\/\/127\.0\.0\.1:\d+)$/.exec(line) ?? []
  if (url === '') throw new Error(`no address in "${line}"`)
  const stele = (...args: readonly string[]): Promise<Ended> => home.run(args, { env: { STELE_URL: url } })
  return {
    home,
    serving,
    url,
    stele,
    done: async (...args) => {
      const { code, stdout, stderr } = await stele(...args)
      if (code !== 0) throw new Error(`stele ${args.join(' ')} ended with ${code}: ${stderr}`)
      return stdout.trimEnd()
    },
    [Symbol.dispose]: () => home[Symbol.dispose](),
  }
}
