// A real browser: Debian's chromium, from PATH or unpacked into `.tools`, moved by playwright.

import { type Browser, chromium, type Page } from 'playwright-core';
import { provided } from './login-debian.ts';

export async function startBrowser(): Promise<Browser> {
  const { programs, env } = await provided('chromium');
  const [executablePath = ''] = programs;
  return chromium.launch({
    executablePath,
    headless: true,
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
    env: { ...(process.env as Record<string, string>), ...env },
  });
}

/** Logs in and consents on the pages of oidc-provider's development mode. */
export async function logInAt(page: Page, name: string): Promise<void> {
  await page.fill('input[name=login]', name);
  await page.fill('input[name=password]', 'any');
  await page.click('button[type=submit]');
  await page.waitForSelector('form[action*="interaction"] button[type=submit]:not(:has-text("Sign-in"))');
  await page.click('button[type=submit]');
}
