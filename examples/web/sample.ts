/** What the page shows before the reader has written anything: a synthetic document of models/train/needle_documents.py. */
export const sample = {
  question: 'What is the access code of Renata?',
  text:
    'In the cold store the spare keys was found in good order without delay. The access code of Frida is ' +
    '36U. A visitor left two glass plates on table 2, ready for loan. The access code of Irena is 19H. Th' +
    'e brass lamp from case 1 went to the garden office without delay. The courier photographed the north' +
    ' gallery as usual. The access code of Nina is 21E. Two glass plates from row 8 went to the lower arc' +
    'hive before noon. The access code of Otto is 30F. A box of letters from table 7 went to the reading ' +
    'room on request. A student left a wooden frame on case 1, newly bound. The access code of Renata is ' +
    '03P. A visitor waited in the map cabinet in the evening. In the lecture hall some loose pages was fo' +
    'und hard to read without delay. The visitor book from shelf 6 went to the north gallery before noon.' +
    ' The night guard left a torn atlas on table 9, locked away. Two glass plates from table 5 went to th' +
    'e binding workshop in the evening. The access code of Karim is 42N. Some loose pages from table 3 we' +
    'nt to the east wing after the storm. The visitor book from drawer 1 went to the east wing by mistake' +
    '. The assistant left a torn atlas on case 6, marked for repair. The restorer left two glass plates o' +
    'n shelf 1, newly bound. The access code of Umberto is 15S. A torn atlas from drawer 3 went to the co' +
    'ld store in the evening. In the cold store some loose pages was found covered with dust before noon.' +
    ' The access code of Zoltan is 80R.',
};
