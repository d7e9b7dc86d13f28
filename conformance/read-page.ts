/** Files of the suite from the server of a page, for tests in a browser. */
import { CaseError } from '../contract/errors.ts';
import type { ReadFile } from './case.ts';

/** Of the page; the types of this project know Node only. */
const page = globalThis as unknown as { readonly location: { readonly origin: string } };

export const readFromPage: ReadFile = async path => {
  const response = await fetch(`${page.location.origin}/conformance/${path}`);
  if (!response.ok) {
    throw new CaseError({ where: 'readCase', name: path, expected: 'to be there', got: `status ${response.status}` });
  }
  return new Uint8Array(await response.arrayBuffer());
};
