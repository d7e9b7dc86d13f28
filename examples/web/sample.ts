/** What the page shows before the reader has written anything. */
export const sample = {
  question: 'What is the access code of Miriam?',
  text: 'The access code of Miriam is 4 8 1.',
};
