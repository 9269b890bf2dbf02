import io

import pypdf


def test_the_invoice_document_can_be_read_in_vietnamese(simulator, api, shop, browser):
    customer = shop.customer(name="Công ty Hạ Long")
    simulator.complete_checkout(shop.session(customer, currency="vnd").id, name="Công ty Hạ Long")
    (invoice,) = api.v1.invoices.list({"customer": customer.id}).data

    answer = browser.get(invoice.invoice_pdf)

    text = pypdf.PdfReader(io.BytesIO(answer.content)).pages[0].extract_text()
    assert answer.headers["content-type"] == "application/pdf"
    assert "Công ty Hạ Long" in text
    assert "299.000 ₫" in text
    assert invoice.number in text
