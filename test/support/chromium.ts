// A page in a real browser, Debian's Chromium, with one module of this tree bundled for it. Another one is named by STELE_CHROMIUM.

import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { rolldown } from 'rolldown'

/** A page that has a module. */
export interface ModulePage extends AsyncDisposable {
  /** Of the browser. */
  readonly version: string
  /** Calls an export of the module. The arguments are JavaScript; what it gives comes as JSON. */
  call(name: string, ...args: readonly string[]): Promise<unknown>
}

/** What is used of playwright-core, which is installed with the other tools of development. */
interface Playwright {
  readonly chromium: { launch(options: { readonly executablePath: string; readonly args: readonly string[] }): Promise<Browser> }
}

interface Browser {
  version(): string
  newPage(): Promise<{ goto(url: string): Promise<unknown>; evaluate(script: string): Promise<unknown> }>
  close(): Promise<void>
}

const CHROMIUM = process.env['STELE_CHROMIUM'] ?? '/usr/bin/chromium'

/** Why there is no browser on this machine; null where there is one. */
export function missingChromium(): string | null {
  if (!existsSync(CHROMIUM)) return `no ${CHROMIUM} on this machine`
  return findPlaywright() === null ? 'no playwright-core on this machine' : null
}

/** Opens a page with the module in a file. Throws where there is no browser. */
export async function openModulePage(file: string): Promise<ModulePage> {
  await using stack = new AsyncDisposableStack()
  const playwright = findPlaywright()
  if (playwright === null) throw new Error('no playwright-core')
  await using bundle = await rolldown({ input: file, platform: 'browser' })
  const { output } = await bundle.generate({ format: 'esm', minify: true })
  const site = createServer((request, response) => {
    // No text is evaluated: what the client bundles must run under such a policy.
    response.setHeader('Content-Security-Policy', "default-src 'none'; script-src 'self'; connect-src *")
    if (request.url === '/module.js') response.setHeader('Content-Type', 'text/javascript').end(output[0].code)
    else response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>a module</title>')
  })
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve))
  stack.defer(() => {
    site.closeAllConnections()
    site.close()
  })
  const browser = await playwright.chromium.launch({ executablePath: CHROMIUM, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] })
  stack.defer(() => browser.close())
  const page = await browser.newPage()
  await page.goto(`http://127.0.0.1:${(site.address() as AddressInfo).port}/`)
  const opened = stack.move()
  return {
    version: browser.version(),
    call: async (name, ...args) => JSON.parse(String(await page.evaluate(`import('/module.js').then((module) => module.${name}(${args.join(', ')})).then((value) => JSON.stringify(value))`))),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  }
}

function findPlaywright(): Playwright | null {
  try {
    return createRequire(import.meta.url)('playwright-core') as Playwright
  } catch {
    return null
  }
}
